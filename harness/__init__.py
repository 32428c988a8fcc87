"""The instrument: it puts model variants on devices, measures them there and says what changed."""

__version__ = "0.1.0"
