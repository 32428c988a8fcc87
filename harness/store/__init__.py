"""The only reader and writer of results: SQLAlchemy, SQLite by default, PostgreSQL or any other by URL."""

from harness.store.place import VARIABLE, file_of, named, url_of
from harness.store.results import Store, shown
from harness.store.tables import VERSION

__all__ = ["VARIABLE", "VERSION", "Store", "file_of", "named", "shown", "url_of"]
