"""What servers of before 2016 speak, SHA-1 and CBC: offered to a device only if its file says `legacy = true`.

paramiko has dropped SHA-1 from its key exchanges and RSA signatures; a closed unit keeps the server it was built with.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Final

import paramiko
from cryptography.hazmat.primitives import hashes
from paramiko.kex_group14 import KexGroup14SHA256

from harness.transports.ssh._orderly import OrderlyTransport

#: Second Oakley group, RFC 2409 section 6.2.
_OAKLEY_2: Final = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
CIPHERS: Final = ("aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc")
MACS: Final = ("hmac-sha1", "hmac-sha1-96")


class _Group14(KexGroup14SHA256):  # type: ignore[misc,unused-ignore]
    name = "diffie-hellman-group14-sha1"
    hash_algo = hashlib.sha1


class _Group1(_Group14):
    name = "diffie-hellman-group1-sha1"
    P = _OAKLEY_2


class _RsaKey(paramiko.RSAKey):
    HASHES: ClassVar[Any] = {  # type: ignore[misc]
        **paramiko.RSAKey.HASHES,
        "ssh-rsa": hashes.SHA1,
    }


class LegacyTransport(OrderlyTransport):
    """A transport that also speaks what is out of date; what is up to date comes first."""

    _kex_info: ClassVar[Any] = {**OrderlyTransport._kex_info, **{kex.name: kex for kex in (_Group14, _Group1)}}  # type: ignore[attr-defined]
    _preferred_kex: ClassVar[Any] = (*OrderlyTransport._preferred_kex, _Group14.name, _Group1.name)  # type: ignore[attr-defined]
    _key_info: ClassVar[Any] = {**OrderlyTransport._key_info, "ssh-rsa": _RsaKey}  # type: ignore[attr-defined]
    _preferred_keys: ClassVar[Any] = (*OrderlyTransport._preferred_keys, "ssh-rsa")  # type: ignore[attr-defined]

    _sha1_signatures = False

    @property
    def preferred_pubkeys(self) -> tuple[str, ...]:
        """The signatures to log in with."""
        return ("ssh-rsa",) if self._sha1_signatures else tuple(super().preferred_pubkeys)

    def auth_publickey(self, username: str, key: paramiko.PKey, event: Any = None) -> list[str]:
        """Log in with a key, which signs as it was done then if the server wants nothing newer.

        Args:
            username: who logs in.
            key: the key.
            event: as paramiko takes it.
        """
        if key.get_name() != "ssh-rsa":
            return super().auth_publickey(username, key, event)
        self._sha1_signatures = False
        extensions: Any = self.server_extensions  # type: ignore[attr-defined]
        if "server-sig-algs" in extensions:  # one that does not say what it knows is of the time of SHA-1
            try:
                return super().auth_publickey(username, key, event)
            except paramiko.AuthenticationException:
                if not self.is_active():
                    raise
        self._sha1_signatures = True
        old = _RsaKey(key=key.key) if type(key) is paramiko.RSAKey else key
        return super().auth_publickey(username, old, event)
