"""The page in a browser: state, live text, words and settings, served to whoever has the token."""
