"""Puts the dictation appliance on a card, into a virtual Pi, or onto a running machine."""
