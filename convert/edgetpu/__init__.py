"""Predict, drive and read Google's Edge TPU compiler."""
