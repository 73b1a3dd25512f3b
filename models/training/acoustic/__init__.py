"""Recipes of the acoustic model."""
