"""Transformer encoders: layers with constant weights become int8 pieces for the Edge TPU, the rest stays on the CPU."""
