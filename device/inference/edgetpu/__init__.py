"""The Coral USB Accelerator, driven from a process of its own."""
