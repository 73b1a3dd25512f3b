"""Measures a build against its source and decides whether it is good enough."""
