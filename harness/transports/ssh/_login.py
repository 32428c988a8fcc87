"""From an address to an open session: route, handshake, the host's key, the user's key; one deadline over all of it."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from harness.errors import DeviceError, Refused, TimedOut, Unreachable
from harness.model import Device
from harness.transports.ssh import _hostkey, _identity
from harness.transports.ssh._legacy import CIPHERS, MACS, LegacyTransport
from harness.transports.ssh._lines import Lines
from harness.transports.ssh._options import Options
from harness.transports.ssh._orderly import OrderlyTransport
from harness.transports.ssh._route import Route, route
from harness.transports.ssh._session import SshSession

#: Authenticated ciphers first: one pass over the data instead of two.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
#: A link is lost when as many signs of life in a row stay without an acknowledgement.
_UNANSWERED = 4

# paramiko logs a traceback for every refused connection; ours is the message. Logging that is set up gets it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def login(device: Device, options: Options, *, timeout_s: float) -> SshSession:
    """Return an open session; raises what `ssh.connect` promises.

    Args:
        device: the device.
        options: the keys of `[ssh]`.
        timeout_s: for all of it, s.
    """
    way = route(device, options)

    def dial() -> OrderlyTransport:
        return _dial(device, options, way, timeout_s)

    return SshSession(device, Lines(dial(), dial), str(way), stall_s=options.stall_s)


def _dial(device: Device, options: Options, way: Route, timeout_s: float) -> OrderlyTransport:
    """Return a connection whose host was checked and whose user was let in, by way of all jump hosts."""
    ends_at = time.monotonic() + timeout_s
    hops = [way]
    while hops[0].by_way_of is not None:
        hops.insert(0, hops[0].by_way_of)
    # A jump host is the user's own affair: its keys stand in the user's files, not in the device's.
    on_the_way = replace(options, host_key="", identity="", legacy=False)
    carrier: OrderlyTransport | None = None
    for hop in hops:
        own = options if hop is way else on_the_way
        carrier = _let_in(device, own, hop, carrier, ends_at, timeout_s)
    assert carrier is not None
    carrier.prepare()
    return carrier


def _let_in(
    device: Device, options: Options, way: Route, carrier: OrderlyTransport | None, ends_at: float, timeout_s: float
) -> OrderlyTransport:
    opened = carrier
    try:
        known = _hostkey.pinned(device, options, way)
        plug: Any = (
            _plug(device, options, way, timeout_s)
            if carrier is None
            else _through(device, options, carrier, way, ends_at)
        )
        transport = (LegacyTransport if options.legacy else OrderlyTransport)(plug)
        transport.by_way_of, opened = carrier, transport
        with _explained(device, options, way, transport, ends_at, timeout_s):
            _shake_hands(device, way, transport, known, ends_at)
            _identity.authenticate(device, options, way, transport, ends_at)
    except BaseException:
        if opened is not None:
            opened.close()
        raise
    transport.set_keepalive(int(options.keepalive_s))
    if carrier is None and options.keepalive_s and hasattr(socket, "TCP_USER_TIMEOUT"):
        # signs of life that nobody acknowledges: a device that lost its power says nothing, and would be waited for
        patience_ms = round(_UNANSWERED * options.keepalive_s * 1000)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
    return transport


def _through(
    device: Device, options: Options, carrier: OrderlyTransport, way: Route, ends_at: float
) -> paramiko.Channel:
    """Return a channel from the jump host to the next one."""
    jump = str(way.by_way_of)
    try:
        return carrier.open_channel(
            "direct-tcpip", (way.host, way.port), ("127.0.0.1", 0), timeout=max(0.1, ends_at - time.monotonic())
        )
    except paramiko.ChannelException as error:
        if error.code == paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED:
            raise Refused(
                f"{jump} does not let us on to {way}",
                remedy="set AllowTcpForwarding in the sshd_config of that jump host",
                device=device.id,
            ) from error
        where = way.written(device, options, "`address`", "HostName and Port")
        raise Unreachable(
            f"{jump} finds no way on to {way} ({error.text})",
            remedy=f"is it switched on, and is its name known there? Else correct {where}",
            device=device.id,
        ) from error
    except paramiko.SSHException as error:
        raise TimedOut(
            f"{jump} did not get through to {way} in time", remedy="is it switched on?", device=device.id
        ) from error


def _plug(device: Device, options: Options, way: Route, timeout_s: float) -> socket.socket:
    address = way.written(device, options, "`address`", "HostName")
    try:
        plug = socket.create_connection((way.host, way.port), timeout=timeout_s)
    except socket.gaierror as error:
        of = f" of the jump host {way.jump}" if way.jump else ""
        raise Unreachable(
            f"the name {way.host}{of} does not resolve ({error.strerror})",
            remedy=f"check {address} and the network",
            device=device.id,
        ) from error
    except TimeoutError as error:
        raise _late(device, way, None, timeout_s) from error
    except ConnectionRefusedError as error:
        raise Unreachable(
            f"nothing listens on {way}",
            remedy=f"start its SSH server, or correct {way.written(device, options, 'the port', 'Port')}",
            device=device.id,
        ) from error
    except (OSError, UnicodeError) as error:
        raise Unreachable(
            f"no way to {way} ({error})", remedy=f"check {address}, the cable and the network", device=device.id
        ) from error
    # dropbear's receive window is smaller than a packet: waiting to fill one costs it 98 % of its speed
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plug


def _late(device: Device, way: Route, transport: paramiko.Transport | None, timeout_s: float) -> TimedOut:
    """Return the error for a passed deadline, which says how far it came."""
    longer = f"needs a longer connect_timeout_s under [ssh] in {device.file}"
    if transport is None or not transport.remote_version:
        return TimedOut(
            f"{way} did not answer within {timeout_s:g} s",
            remedy=f"is it switched on, and does its network let SSH through? A slow one {longer}",
            device=device.id,
        )
    stage = "not agreed on keys" if not transport.initial_kex_done else f"not let {way.user} in"
    return TimedOut(
        f"{way} answered ({transport.remote_version}), but had {stage} after {timeout_s:g} s",
        remedy=f"a server whose log-in is slow (name servers, AuthorizedKeysCommand) {longer}",
        device=device.id,
    )


@contextmanager
def _explained(
    device: Device, options: Options, way: Route, transport: paramiko.Transport, ends_at: float, timeout_s: float
) -> Iterator[None]:
    """Turn what paramiko says about a broken handshake into our words."""
    try:
        yield
    except DeviceError:
        raise
    except IncompatiblePeer as error:
        allow = f"allow it what is out of date by legacy = true under [ssh] in {device.file}"
        raise Refused(
            f"{way} and this host share no SSH algorithm ({error})",
            remedy=f"update its SSH server, or {'reach it by openssh://' if way.jump else allow}",
            device=device.id,
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        if time.monotonic() >= ends_at:
            raise _late(device, way, transport, timeout_s) from error
        said = str(error) or "it hung up"
        raise Unreachable(
            f"{way} broke off before anybody was logged in ({said})",
            remedy=(
                "is that port an SSH server, and does it let us in? See "
                f"{way.written(device, options, '`address`', 'HostName and Port')}"
            ),
            device=device.id,
        ) from error


def _shake_hands(
    device: Device, way: Route, transport: paramiko.Transport, known: _hostkey.Pinned, ends_at: float
) -> None:
    security = transport.get_security_options()
    old = isinstance(transport, LegacyTransport)
    security.ciphers = tuple(name for name in _CIPHERS + CIPHERS * old if name in security.ciphers)
    security.digests = tuple(name for name in _MACS + MACS * old if name in security.digests)
    security.key_types = known.algorithms(security.key_types)
    left = max(0.1, ends_at - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
    except IncompatiblePeer as error:
        if "host key" in str(error) and known.keys:
            raise _hostkey.not_offered(device, known, way) from error
        raise
    if time.monotonic() >= ends_at:  # start_client returns in silence when its time is over
        raise TimeoutError
    _hostkey.check(device, known, transport.get_remote_server_key(), way)
