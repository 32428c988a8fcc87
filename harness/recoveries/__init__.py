"""How this host resets a device that does not answer, one file a way: `[recover]` of a device's file names it."""
