"""The lexicon and the language model of a bundle."""
