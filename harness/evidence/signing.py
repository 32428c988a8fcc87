"""The SSH signature of a bundle's manifest, through OpenSSH's own `ssh-keygen -Y`, in the namespace `edgeward`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import HarnessError

#: Says what was signed, so that a signature of a git commit or of a mail is none of a bundle.
NAMESPACE: Final = "edgeward"
_INSTALL: Final = "install OpenSSH 8.2 or later (Debian: `apt install openssh-client`)"


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a signature.

    Attributes:
        whole: whether it is of these very bytes.
        signer: who vouches for the key, as the file of allowed signers names them; "" where nobody does.
        text: one sentence for people.
    """

    whole: bool
    signer: str
    text: str


def sign(content: bytes, key: Path) -> bytes:
    """Return the signature of some bytes.

    Args:
        content: what is signed.
        key: private key of OpenSSH, or the public half of one that an agent holds.

    Raises:
        HarnessError: the key cannot be used, or OpenSSH is missing.
    """
    if not key.is_file():
        raise HarnessError(
            f"there is no key {key}", remedy="name yours with --key (often ~/.ssh/id_ed25519), or say --unsigned"
        )
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "manifest.json"
        file.write_bytes(content)
        done = _keygen("sign", "-f", str(key), "-n", NAMESPACE, str(file))
        signature = file.with_name(f"{file.name}.sig")
        if done.returncode or not signature.is_file():
            raise HarnessError(_refused(key, done.stderr), remedy=_remedy(key, done.stderr))
        return signature.read_bytes()


def signed_by(content: bytes, signature: bytes, signers: Path | None) -> Signature:
    """Return whether a signature is of these bytes, and who vouches for its key.

    Args:
        content: what is said to be signed.
        signature: of it.
        signers: OpenSSH's file of allowed signers, None where nobody vouches for a key.

    Raises:
        HarnessError: the file of signers is not there, or OpenSSH is missing.
    """
    if signers is not None and not signers.is_file():
        raise HarnessError(
            f"there is no file of allowed signers {signers}",
            remedy='write one line each: NAME namespaces="edgeward" ssh-ed25519 AAAA…',
        )
    with tempfile.TemporaryDirectory() as work:
        sig = Path(work) / "manifest.json.sig"
        sig.write_bytes(signature)
        checked = _keygen("check-novalidate", "-n", NAMESPACE, "-s", str(sig), content=content)
        if checked.returncode:
            return Signature(False, "", f"the signature is not of this manifest ({_last(checked.stderr)})")
        key = checked.stdout.strip().removeprefix(f'Good "{NAMESPACE}" signature with ')
        if signers is None:
            return Signature(
                True, "", f"the signature is whole, with {key}; nobody vouches for this key: give --signers"
            )
        names = _keygen("find-principals", "-s", str(sig), "-f", str(signers)).stdout.split("\n")
        for name in filter(None, names):
            who = name.split(",")[0]
            held = _keygen("verify", "-f", str(signers), "-I", who, "-n", NAMESPACE, "-s", str(sig), content=content)
            if held.returncode == 0:
                return Signature(True, who, f"signed by {who}, with {key}")
        return Signature(True, "", f"the signature is whole, with {key}, a key that {signers} does not allow")


def _keygen(action: str, *arguments: str, content: bytes | None = None) -> subprocess.CompletedProcess[str]:
    # Without a terminal nothing can ask for a passphrase: a key that has one must be in an agent.
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", action, *arguments],
            input=content or b"",
            capture_output=True,
            check=False,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise HarnessError("there is no ssh-keygen here", remedy=_INSTALL) from error
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["no reason was given"])[-1]


def _refused(key: Path, said: str) -> str:
    if "passphrase" in said:
        return f"{key} has a passphrase, and no agent holds it"
    return f"{key} cannot sign ({_last(said)})"


def _remedy(key: Path, said: str) -> str:
    if "passphrase" in said:
        return f"`ssh-add {key}` gives it to your agent (`eval $(ssh-agent)` starts one); then sign again"
    if "permissions" in said:
        return f"`chmod 600 {key}`: others can read it"
    return "give the private key of OpenSSH that is yours, or its .pub if an agent holds it"
