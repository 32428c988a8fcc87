"""A user's ~/.ssh, with the servers that its configuration knows."""

from __future__ import annotations

from pathlib import Path

from devices.virtual.openssh import Server
from harness.model import Address, Device


class Clinic:
    """A user's ~/.ssh with jump hosts in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / ".ssh").mkdir(parents=True)
        self.config, self.known = home / ".ssh/config", home / ".ssh/known_hosts"

    def knows(self, name: str, server: Server, *, jump: str = "", pinned: bool = True) -> None:
        """Write a server into the user's files."""
        lines = [f"Host {name}", f"HostName {server.host}", f"Port {server.port}", f"User {server.user}"]
        lines += [f"IdentityFile {server.identity}", *([f"ProxyJump {jump}"] if jump else [])]
        with self.config.open("a") as file:
            file.write("\n  ".join(lines) + "\n")
        if pinned:
            with self.known.open("a") as file:
                file.write(f"[{server.host}]:{server.port} {server.host_key}\n")


def named(name: str, *, scheme: str = "ssh", **options: object) -> Device:
    """Return a device whose address is a name of the user's configuration."""
    return Device(name, "sbc", Address(scheme, host=name), options=options, file=Path("devices") / f"{name}.toml")
