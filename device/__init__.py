"""The dictation device: microphone, features, encoder, decoder, text, sinks."""

import os

# NumPy's products here are small: on several threads OpenBLAS spends more on waiting than on multiplying.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
