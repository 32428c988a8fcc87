"""The only reader and writer of results: SQLAlchemy, SQLite by default, PostgreSQL or any other by URL."""

from harness.store.opening import shown
from harness.store.place import VARIABLE, file_of, named, url_of
from harness.store.results import Store
from harness.store.tables import VERSION
from harness.store.undertakings import Question, Superseded, Undertaking

__all__ = [
    "VARIABLE",
    "VERSION",
    "Question",
    "Store",
    "Superseded",
    "Undertaking",
    "file_of",
    "named",
    "shown",
    "url_of",
]
