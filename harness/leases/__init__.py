"""One measurer per device: one file a way of making sure, so that two campaigns never time the same machine at once."""
