"""The virtual Pi: QEMU's `virt` machine as the board that a built card image boots on. Standard library only."""
