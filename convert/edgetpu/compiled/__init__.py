"""Runs Google's compiler and reads what it produced."""
