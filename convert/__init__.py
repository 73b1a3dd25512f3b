"""Convert an ONNX acoustic model into a bundle that the device can run (build machine only)."""
