"""One file for each engine: `missing` says what it lacks here, `load` gives an `Engine` (see ../engine.py)."""
