"""ONNX to int8 TFLite."""
