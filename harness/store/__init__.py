"""The only reader and writer of results: SQLAlchemy, SQLite by default, PostgreSQL or any other by URL."""

from harness.store.results import Store, shown
from harness.store.tables import VERSION

__all__ = ["VERSION", "Store", "shown"]
