"""One plug-in of each kind for edgeward, from outside of its own distribution."""
