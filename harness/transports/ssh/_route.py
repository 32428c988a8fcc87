"""Where a device really is, and by way of which hosts, once ~/.ssh/config has had its say."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import paramiko

from harness.errors import LabError
from harness.model import Device
from harness.transports.ssh._options import Options
from harness.transports.ssh._settings import Asked, Reader, Settings

_JUMP: Final = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<host>\[[^]]+\]|[^-:@/\[\s][^:@/\s]*)(?::(?P<port>\d+))?/?")
_SSH_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host is, and how to be let in.

    Attributes:
        alias: what known_hosts calls the host.
        alias_without_port: what it calls it at port 22, where one of those keys will do; "" where that is no question.
        identities: the files of the configuration.
        agent: whether the agent may be asked as well.
        agent_socket: of the agent; "" for the usual one, "none" for no agent.
        known_hosts: where the configuration says that host keys stand, () where it does not.
        jump: the name of a jump host in the configuration, "" for the device itself.
        certificates: files of certificates that the configuration names.
        token: the library of a token that it names, "" if there is none.
        by_way_of: the host to jump from, which may have one of its own; None if there is none.
    """

    host: str
    port: int
    user: str
    alias: str
    identities: tuple[str, ...]
    agent: bool
    alias_without_port: str = ""
    agent_socket: str = ""
    known_hosts: tuple[str, ...] = ()
    jump: str = ""
    certificates: tuple[str, ...] = ()
    token: str = ""
    by_way_of: Route | None = None

    def __str__(self) -> str:
        place = f"{self.host}:{self.port}"
        return f"the jump host {self.jump} ({place})" if self.jump else place

    def written(self, device: Device, options: Options, key: str, line: str) -> str:
        """Return where the user would correct a thing: in the device's file, or for a jump host in the configuration.

        Args:
            device: the device.
            options: the keys of `[ssh]`.
            key: what it is in the device's file.
            line: what it is in the configuration.
        """
        return f"{line} of {self.jump} in {options.config}" if self.jump else f"{key} in {device.file}"


def route(device: Device, options: Options) -> Route:
    """Return the route to a device: what its address says wins over the configuration, as with `ssh -l -p`.

    Raises:
        LabError: the configuration cannot be read, its jumps cannot be followed, or it holds what paramiko cannot do.
    """
    path = Path(options.config).expanduser()
    address = device.address
    asked = Asked(address.host, address.user, address.port)
    try:
        reader = Reader(path, usual=options.config == Options().config)
        return _found(reader, asked, seen=())
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"`ssh -G {address.host}` did not end within {error.timeout:g} s",
            remedy="look at what its Match exec lines wait for",
            file=str(path),
        ) from error
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise LabError(str(error), remedy="mend it, or name another file as config in [ssh]", file=str(path)) from error


def _found(reader: Reader, asked: Asked, *, seen: tuple[str, ...]) -> Route:
    """Return the route to the host that the configuration calls so; ValueError if its jumps make no sense."""
    name = asked.name
    if name in seen:
        raise ValueError(f"ProxyJump leads in a circle: {' -> '.join((*seen, name))}")
    found = reader.settings(asked)
    if found.command:
        raise ValueError(f"ProxyCommand of {name} is not run by ssh:// addresses; write openssh:// as its scheme")
    if found.revoked:
        raise ValueError(f"RevokedHostKeys of {name} is not read by ssh:// addresses; write openssh:// as its scheme")
    here = _here(found, jump=name if seen else "")
    carrier: Route | None = None
    for jump in (text.strip() for text in found.jumps.split(",") if found.jumps):
        parts = _JUMP.fullmatch(jump)
        if parts is None:
            raise ValueError(f"ProxyJump of {name}: {jump!r} is not [user@]host[:port]")
        hop = _found(
            reader, Asked(parts["host"].strip("[]"), parts["user"] or "", int(parts["port"] or 0)), seen=(*seen, name)
        )
        # As with ssh: the second host of a list is reached from the first one, whatever the configuration says of it.
        carrier = hop if carrier is None else replace(hop, by_way_of=carrier)
    return replace(here, by_way_of=carrier)


def _here(found: Settings, *, jump: str) -> Route:
    """Return the last part of the route, to the host itself."""
    usual = found.port == _SSH_PORT
    return Route(
        host=found.host,
        port=found.port,
        user=found.user,
        alias=found.alias or (found.host if usual else f"[{found.host}]:{found.port}"),
        identities=found.identities,
        agent=not found.only_files,
        alias_without_port="" if found.alias or usual else found.host,
        agent_socket=found.agent,
        known_hosts=found.known_hosts,
        jump=jump,
        certificates=found.certificates,
        token=found.token,
    )
