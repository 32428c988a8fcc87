"""Ways onto a device: one file a scheme of `address`. A file that begins with _ belongs to its neighbours."""
