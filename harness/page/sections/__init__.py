"""One file per section of the report: `ORDER` places it, `context` gives what templates/NAME.html is rendered with."""
