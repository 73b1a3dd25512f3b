"""Predicts which operators the Edge TPU takes, and what they cost."""
