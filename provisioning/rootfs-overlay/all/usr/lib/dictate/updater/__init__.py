"""What keeps a device on a release that works: on the root file system, outside of every release, stdlib only."""
