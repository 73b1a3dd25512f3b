"""Speech recognition: 16 kHz samples in, partial results and segments out."""
