"""How the tables of a store become today's: Alembic's revisions in `versions`, which `harness.store.schema` runs.

A revision is written once and never changed: it says with its own words what the tables were, not with those of
`harness.store.tables`, which go on.
"""
