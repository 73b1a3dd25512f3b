"""The user's own words and how they are pronounced."""
