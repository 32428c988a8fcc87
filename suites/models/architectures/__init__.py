"""The architectures that baselines and variants are trained from: one family a file, short enough to read."""
