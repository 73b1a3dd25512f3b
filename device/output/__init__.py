"""Where text goes: the journal, the USB keyboard, standard output."""
