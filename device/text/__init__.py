"""Turns recognised words into written text."""
