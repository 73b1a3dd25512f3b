"""The configuration: its schema, reading and checking it."""
