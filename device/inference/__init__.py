"""Runs models: a TFLite interpreter on the CPU, or the Edge TPU."""
