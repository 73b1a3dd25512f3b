"""Builds what an SD card holds: a release, a root file system, the dictation layer on it, and the disk image."""
