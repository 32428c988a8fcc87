"""From an address to an open session: route, handshake, the host's key, the user's key; one deadline over all of it."""

from __future__ import annotations

import getpass
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from harness.errors import DeviceError, LabError, Refused, TimedOut, Unreachable
from harness.model import Device
from harness.transports import _ssh_hostkey, _ssh_identity
from harness.transports._ssh_session import SshSession
from harness.transports.ssh import Options

#: Authenticated ciphers first: one pass over the data instead of two.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")

# paramiko logs a traceback for every refused connection; ours is the message. Whoever sets up logging still gets it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Route:
    """Where a device really is, once ~/.ssh/config has had its say.

    `alias` is what known_hosts calls the host; `identities` are the files of the configuration, `agent` whether the
    agent may be asked as well.
    """

    host: str
    port: int
    user: str
    alias: str
    identities: tuple[str, ...]
    agent: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def route(device: Device, options: Options) -> Route:
    """Return the route to a device: what its address says wins over the configuration, as with `ssh -l -p`.

    Raises:
        LabError: the configuration file cannot be read.
    """
    address, path = device.address, Path(options.config).expanduser()
    try:
        config = paramiko.SSHConfig.from_path(str(path)) if path.is_file() else paramiko.SSHConfig()
        found = config.lookup(address.host)
        port = address.port or int(found.get("port", 22))
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise LabError(f"{error}; mend it, or name another file as config in [ssh]", file=str(path)) from error
    host = found["hostname"]
    return Route(
        host=host,
        port=port,
        user=address.user or found.get("user") or getpass.getuser(),
        alias=found.get("hostkeyalias") or (host if port == 22 else f"[{host}]:{port}"),
        identities=tuple(found.get("identityfile", [])),
        agent=found.get("identitiesonly", "no") != "yes",
    )


def login(device: Device, options: Options, *, timeout_s: float) -> SshSession:
    """Return an open session; raises what `ssh.connect` promises."""
    ends_at = time.monotonic() + timeout_s
    way = route(device, options)
    known = _ssh_hostkey.pinned(device, options, way.alias)
    plug = _plug(device, way, timeout_s)
    transport = paramiko.Transport(plug)
    try:
        with _explained(device, way, ends_at, timeout_s):
            _shake_hands(device, way, transport, known, ends_at)
            _ssh_identity.authenticate(device, options, way, transport, ends_at)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(int(options.keepalive_s))
    return SshSession(device, transport, str(way), stall_s=options.stall_s)


def _plug(device: Device, way: Route, timeout_s: float) -> socket.socket:
    try:
        plug = socket.create_connection((way.host, way.port), timeout=timeout_s)
    except socket.gaierror as error:
        message = (
            f"the name {way.host} does not resolve ({error.strerror}); check `address` in {device.file} and the network"
        )
        raise Unreachable(message, device=device.id) from error
    except TimeoutError as error:
        raise _late(device, way, timeout_s) from error
    except ConnectionRefusedError as error:
        message = f"nothing listens on {way}; start its SSH server, or correct the port in {device.file}"
        raise Unreachable(message, device=device.id) from error
    except (OSError, UnicodeError) as error:
        message = f"no way to {way} ({error}); check `address` in {device.file}, the cable and the network"
        raise Unreachable(message, device=device.id) from error
    # dropbear's receive window is smaller than a packet: waiting to fill one costs it 98 % of its speed
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plug


def _late(device: Device, way: Route, timeout_s: float) -> TimedOut:
    message = f"{way} did not answer within {timeout_s:g} s; is it switched on, and does its network let SSH through?"
    return TimedOut(message, device=device.id)


@contextmanager
def _explained(device: Device, way: Route, ends_at: float, timeout_s: float) -> Iterator[None]:
    """Turn what paramiko says about a broken handshake into our words."""
    try:
        yield
    except DeviceError:
        raise
    except IncompatiblePeer as error:
        message = f"{way} and this host share no SSH algorithm ({error}); update its SSH server"
        raise Refused(message, device=device.id) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        if time.monotonic() >= ends_at:
            raise _late(device, way, timeout_s) from error
        said = str(error) or "it hung up"
        message = (
            f"{way} broke off before anybody was logged in ({said}); is that port an SSH server, and does it let us in?"
        )
        raise Unreachable(message, device=device.id) from error


def _shake_hands(
    device: Device, way: Route, transport: paramiko.Transport, known: _ssh_hostkey.Pinned, ends_at: float
) -> None:
    security = transport.get_security_options()
    security.ciphers = tuple(name for name in _CIPHERS if name in security.ciphers)
    security.key_types = known.algorithms(security.key_types)
    left = max(0.1, ends_at - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
    except IncompatiblePeer as error:
        if "host key" in str(error) and known.keys:
            raise _ssh_hostkey.not_offered(device, known, str(way)) from error
        raise
    if time.monotonic() >= ends_at:  # start_client returns in silence when its time is over
        raise TimeoutError
    _ssh_hostkey.check(device, known, transport.get_remote_server_key(), str(way))
