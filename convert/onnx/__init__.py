"""The source model: reading, splitting and rewriting ONNX graphs."""
