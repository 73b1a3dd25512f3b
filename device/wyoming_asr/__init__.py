"""The recogniser as a speech-to-text service of the Wyoming protocol, which Home Assistant speaks."""
