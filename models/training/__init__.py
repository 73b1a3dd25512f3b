"""The recipes that made the committed weights and language model, runnable again."""
