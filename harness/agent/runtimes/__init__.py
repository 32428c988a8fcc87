"""One file per runtime: how a model is loaded and called there. The file's name stands in `job.json`."""
