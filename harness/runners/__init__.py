"""What executes a job on a device: one file a runner, whose name is the `runner` of a device."""
