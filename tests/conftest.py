"""What every test starts from."""

from __future__ import annotations

import signal

# A shell starts background jobs with SIGINT ignored, and what they start inherits that: Ctrl-C tests would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)
