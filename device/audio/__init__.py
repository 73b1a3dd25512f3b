"""Capture: microphones and files as sources of 16 kHz mono chunks."""
