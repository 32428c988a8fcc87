"""One file per section of the report, held to `harness.ports.sections.Section`; its name is the anchor on the page.

`ORDER` says where it stands, `TITLE` what it is called, and `TEMPLATE` is Jinja markup that is rendered with what
`context` returns. `{% import "parts.html" as parts with context %}` brings the macros that sections share.
"""
