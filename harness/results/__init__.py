"""What a job's events and arrays say, as Runs: pure, so that it can be tested without a device."""
