"""The machine underneath: systemd, scheduling, boot configuration, the installed release."""
