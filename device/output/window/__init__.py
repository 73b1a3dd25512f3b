"""Typing into the window in front of the machine that listens: one module for each program that can."""
