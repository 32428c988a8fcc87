"""The only reader and writer of results: SQLAlchemy, SQLite by default, PostgreSQL or any other by URL."""

from harness.store.audit import Place
from harness.store.place import VARIABLE, file_of, named, url_of
from harness.store.results import Store
from harness.store.spool import Spool, waiting
from harness.store.tables import VERSION
from harness.store.undertakings import COLLECTED, DONE, Job, Question, Superseded, Undertaking

__all__ = [
    "COLLECTED",
    "DONE",
    "VARIABLE",
    "VERSION",
    "Job",
    "Place",
    "Question",
    "Spool",
    "Store",
    "Superseded",
    "Undertaking",
    "file_of",
    "named",
    "url_of",
    "waiting",
]
