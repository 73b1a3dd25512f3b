"""Writing an SD card: which device may be written, what goes onto it, and whether it got there."""
