"""The keys of `[ssh]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[ssh]`.

    Attributes:
        host_key: the device's own public key as one line, type and base64; wins over `known_hosts`.
        known_hosts: a file as OpenSSH keeps it, looked at when `host_key` is empty; as it is, the files that `config`
            names count as well.
        identity: private key file, or the public half of a key of the agent; empty: those of ~/.ssh/config, the
            agent's, then ~/.ssh/id_*.
        config: OpenSSH client configuration that HostName, Port, User, IdentityFile, IdentitiesOnly, IdentityAgent,
            HostKeyAlias, UserKnownHostsFile, GlobalKnownHostsFile and ProxyJump are taken from, as `ssh -G` reads it; a
            jump host's key must be in `known_hosts`.
        legacy: whether the device may be spoken to as servers did before 2016: SHA-1, CBC.
        connect_timeout_s: how long name, TCP, key exchange and log-in may take in all; s.
        keepalive_s: how often an idle connection sends a sign of life, so that routers keep it open; s, 0 for never.
        stall_s: how long a copy may make no progress before it is given up; s.
    """

    host_key: str = ""
    known_hosts: str = "~/.ssh/known_hosts"
    identity: str = ""
    config: str = "~/.ssh/config"
    legacy: bool = False
    connect_timeout_s: float = 15.0
    keepalive_s: float = 15.0
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        if self.host_key and len(self.host_key.split()) < 2:
            raise ValueError(
                "a host key is its type and its base64 text, as `ssh-keyscan HOST` prints them after the name"
            )
        if self.keepalive_s < 0 or min(self.connect_timeout_s, self.stall_s) <= 0:
            raise ValueError("keepalive_s must not be negative; connect_timeout_s and stall_s must be above 0")
