"""What a meter says, as the kernel's INA219 driver shows it, that is no reason to switch off."""

from __future__ import annotations

READINGS: tuple[dict[str, str], ...] = (
    {"in1_input": "3250", "curr1_input": "-850"},  # charging
    {"in1_input": "0", "curr1_input": "850"},  # a wire is off
    {"in1_input": "-4", "curr1_input": "850"},
    {"in1_input": "1200", "curr1_input": "850"},  # no cell has that
    {"in1_input": "3250", "curr1_input": "0"},  # nothing flows
    {"in1_input": "3250", "curr1_input": "?"},
    {"in1_input": "", "curr1_input": "850"},
)
"""For however long."""
