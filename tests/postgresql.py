"""A real PostgreSQL server for a test: of its own, without a network, gone afterwards."""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devices.virtual.requirements import give_up
from devices.virtual.waiting import soon

#: The account that Debian's package makes: the server refuses to be run by root.
_ACCOUNT = "postgres"


@contextmanager
def server() -> Iterator[str]:
    """Run a server until the block is left; gives the URL of its store."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or not (programs[-1] / "initdb").exists():
        give_up("needs a PostgreSQL server: apt install postgresql")
    account = pwd.getpwnam(_ACCOUNT)
    folder = Path(tempfile.mkdtemp(prefix="edgeward-postgresql-"))
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": folder}
    made = [programs[-1] / "initdb", "-D", folder / "data", "-U", "edgeward", "-A", "trust", "--no-sync"]
    subprocess.run([*map(str, made)], check=True, capture_output=True, **as_account)  # type: ignore[call-overload]
    settings = ["-c", "listen_addresses=", "-c", "fsync=off"]
    runs = [programs[-1] / "postgres", "-D", folder / "data", "-k", folder, *settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*map(str, runs)], stdout=log, stderr=log, **as_account)  # type: ignore[call-overload]
    try:
        assert soon(lambda: (folder / ".s.PGSQL.5432").exists() or process.poll() is not None, within_s=30)
        assert process.poll() is None, (folder / "log").read_text()
        yield f"postgresql+psycopg://edgeward@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # its "fast" end, which waits for no client
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
