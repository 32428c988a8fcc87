"""A Kerberos realm on loopback, in a folder of its own: a real KDC, keys for a host, and tickets for this user."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual.openssh import free_port
from devices.virtual.requirements import Lacking, lacking, program
from devices.virtual.waiting import accepts, soon

NEEDS: Final = ("package:krb5-kdc=krb5kdc", "package:krb5-admin-server=kadmin.local", "package:krb5-user=kinit")
_REALM: Final = "CLINIC.TEST"
_HOST: Final = "127.0.0.1"

_LIBRARY: Final = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = {host}:{port}
 }}
"""
_SERVER: Final = """\
[kdcdefaults]
 kdc_listen = {host}:{port}
 kdc_tcp_listen = {host}:{port}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


class RealmError(RuntimeError):
    """The KDC did not start; its text ends with its log."""


@dataclass(frozen=True, slots=True)
class Realm:
    """A running realm with this user, and with this machine under the name 127.0.0.1.

    Attributes:
        folder: its configuration, keys and log.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a client and a server of this realm have in their environment, besides a client's `KRB5CCNAME`."""
        return {"KRB5_CONFIG": f"{self.folder}/krb5.conf", "KRB5_KTNAME": f"{self.folder}/host.keytab"}

    def ticket(self, *, life: str = "1h") -> str:
        """Get a ticket for this user that is good for so long, and return its `KRB5CCNAME`."""
        cache = f"FILE:{self.folder}/tickets-{life}"
        words = ["kinit", "-l", life, "-k", "-t", str(self.folder / "user.keytab"), getpass.getuser()]
        _run(self.folder, *words, more={"KRB5CCNAME": cache})
        return cache

    def expired_ticket(self) -> str:
        """Return the `KRB5CCNAME` of a ticket that is no good any more."""
        cache = self.ticket(life="1s")
        got = Path(cache.removeprefix("FILE:")).stat().st_mtime
        # Its end is counted in whole seconds, and it is good to the end of the last.
        if not soon(lambda: time.time() > got + 3, within_s=60):
            raise RealmError(f"the ticket in {cache} does not expire")
        return cache


@contextlib.contextmanager
def kerberos(folder: Path) -> Iterator[Realm]:
    """Run a realm in `folder` until the block is left.

    Args:
        folder: an empty folder for its configuration, keys and log.

    Raises:
        Lacking: this machine has no KDC.
        RealmError: it did not start.
    """
    if missing := lacking(*NEEDS):
        raise Lacking(f"this machine lacks {missing}")
    folder.mkdir(parents=True)
    port = free_port()
    for name, text in (("krb5.conf", _LIBRARY), ("kdc.conf", _SERVER)):
        (folder / name).write_text(text.format(realm=_REALM, host=_HOST, port=port, folder=folder))
    _run(folder, "kdb5_util", "create", "-s", "-r", _REALM, "-P", "edgeward")
    for principal, keys in ((f"host/{_HOST}", "host.keytab"), (getpass.getuser(), "user.keytab")):
        _run(folder, "kadmin.local", "addprinc", "-randkey", principal)
        _run(folder, "kadmin.local", "ktadd", "-k", str(folder / keys), principal)
    with (folder / "kdc.out").open("wb") as log:
        process = subprocess.Popen([str(program("krb5kdc")), "-n"], env=_environment(folder), stdout=log, stderr=log)
    try:
        if not soon(lambda: process.poll() is not None or accepts((_HOST, port))) or process.poll() is not None:
            raise RealmError(f"the KDC did not start on port {port}:\n{(folder / 'kdc.out').read_text()}")
        yield Realm(folder)
    finally:
        process.kill()
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **Realm(folder).environment, "KRB5_KDC_PROFILE": f"{folder}/kdc.conf"}


def _run(folder: Path, name: str, *words: str, more: dict[str, str] | None = None) -> None:
    command, environment = [str(program(name)), *words], {**_environment(folder), **(more or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RealmError(f"{' '.join(command)}: {done.stderr.strip()}")
