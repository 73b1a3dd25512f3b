"""What passes between the server and the process that has the appliance's files: one line of JSON each way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Request = Mapping[str, Any]
Answer = dict[str, Any]

LARGEST = 1 << 14
"""Bytes of a request."""
