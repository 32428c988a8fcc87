"""Where a device really is, and by way of which hosts, once ~/.ssh/config has had its say."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import paramiko

from harness.errors import LabError
from harness.model import Device
from harness.transports.ssh._options import Options

_JUMP: Final = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:@/]+)(?::(?P<port>\d+))?/?")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host is, and how to be let in.

    Attributes:
        alias: what known_hosts calls the host.
        identities: the files of the configuration.
        agent: whether the agent may be asked as well.
        by_way_of: the host to jump from, which may have one of its own; None if there is none.
    """

    host: str
    port: int
    user: str
    alias: str
    identities: tuple[str, ...]
    agent: bool
    by_way_of: Route | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def route(device: Device, options: Options) -> Route:
    """Return the route to a device: what its address says wins over the configuration, as with `ssh -l -p`.

    Raises:
        LabError: the configuration cannot be read, or its jumps cannot be followed.
    """
    path = Path(options.config).expanduser()
    address = device.address
    try:
        config = paramiko.SSHConfig.from_path(str(path)) if path.is_file() else paramiko.SSHConfig()
        return _found(config, address.host, address.user, address.port, seen=())
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise LabError(str(error), remedy="mend it, or name another file as config in [ssh]", file=str(path)) from error


def _found(config: paramiko.SSHConfig, name: str, user: str, port: int, *, seen: tuple[str, ...]) -> Route:
    """Return the route to the host that the configuration calls `name`; ValueError if its jumps make no sense."""
    if name in seen:
        raise ValueError(f"ProxyJump leads in a circle: {' -> '.join((*seen, name))}")
    found = config.lookup(name)
    if found.get("proxycommand", "none") != "none":
        raise ValueError(f"ProxyCommand of {name} is not supported; write ProxyJump")
    host, real_port = found["hostname"], port or int(found.get("port", 22))
    here = Route(
        host=host,
        port=real_port,
        user=user or found.get("user") or getpass.getuser(),
        alias=found.get("hostkeyalias") or (host if real_port == 22 else f"[{host}]:{real_port}"),
        identities=tuple(found.get("identityfile", [])),
        agent=found.get("identitiesonly", "no") != "yes",
    )
    jumps = found.get("proxyjump", "none")
    if jumps == "none":
        return here
    carrier: Route | None = None
    for jump in (text.strip() for text in jumps.split(",")):
        parts = _JUMP.fullmatch(jump)
        if parts is None:
            raise ValueError(f"ProxyJump of {name}: {jump!r} is not [user@]host[:port]")
        hop = _found(
            config, parts["host"].strip("[]"), parts["user"] or "", int(parts["port"] or 0), seen=(*seen, name)
        )
        # As with ssh: the second host of a list is reached from the first one, whatever the configuration says of it.
        carrier = hop if carrier is None else replace(hop, by_way_of=carrier)
    return replace(here, by_way_of=carrier)
