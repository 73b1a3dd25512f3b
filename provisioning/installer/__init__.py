"""Puts the dictation layer on a running Debian or Raspberry Pi OS, and takes it away again."""
