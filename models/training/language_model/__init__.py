"""Recipes of the language model and its lexicon."""
