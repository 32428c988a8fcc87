"""A campaign: cases to groups, groups to jobs, jobs to events; preflight and the host's own reference."""
