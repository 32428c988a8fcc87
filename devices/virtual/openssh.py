"""A real OpenSSH server on loopback, with keys, port and folder of its own: started in a fraction of a second."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devices.virtual.requirements import Lacking, lacking, program
from devices.virtual.waiting import soon, ssh_answers
from harness.model import Address, Device

#: What must be there.
NEEDS: Final = ("package:openssh-server=sshd", "package:openssh-client=ssh-keygen")

_CONFIG = """\
ListenAddress {host}
Port {port}
{host_keys}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 50
MaxSessions 20
Subsystem sftp internal-sftp
LogLevel VERBOSE
SetEnv {environment}
"""


class ServerError(RuntimeError):
    """The server did not start or misbehaved; its text ends with the server's log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        folder: keys, configuration, log; `folder/"work"` is the device's workdir.
        host_key: its first public key as a line: type and base64.
        pid: of the listening sshd.
    """

    folder: Path
    host: str
    port: int
    user: str
    host_key: str
    pid: int

    @property
    def identity(self) -> Path:
        """The private key that lets `user` in."""
        return self.folder / "identity"

    @property
    def workdir(self) -> Path:
        """Where the harness may live on this device."""
        return self.folder / "work"

    @property
    def log(self) -> str:
        """What the server said so far."""
        return (self.folder / "sshd.log").read_text(errors="replace")

    def device_toml(
        self, *, runtimes: Sequence[str] = (), workdir: Path | None = None, tags: Sequence[str] = ()
    ) -> str:
        """Return a device file that reaches this server, its host key pinned."""
        wanted, named = (", ".join(f'"{text}"' for text in texts) for texts in (runtimes, tags))
        return (
            f'kind = "workstation"\naddress = "ssh://{self.user}@{self.host}:{self.port}"\n'
            'description = "OpenSSH server on loopback, started by devices/virtual/openssh.py"\n'
            f'tags = [{named}]\nruntimes = [{wanted}]\nworkdir = "{workdir or self.workdir}"\n\n'
            f'[ssh]\nhost_key = "{self.host_key}"\nidentity = "{self.identity}"\n'
        )

    def device(self, *, id: str = "openssh", workdir: Path | None = None, **options: object) -> Device:
        """Return the Device that `write_device` describes, with the keys of `[ssh]` replaced by `options`."""
        return Device(
            id=id,
            kind="workstation",
            address=Address("ssh", host=self.host, user=self.user, port=self.port),
            workdir=str(workdir or self.workdir),
            options={"host_key": self.host_key, "identity": str(self.identity), **options},
            file=Path("devices") / f"{id}.toml",
        )

    def write_client_config(self, path: Path, *lines: str, name: str = "board") -> Path:
        """Write a configuration for OpenSSH's client that calls this server `name`, and return its path.

        Args:
            path: of the configuration; the known_hosts that it names lies beside it.
            lines: more lines about it, which win over what stands there already.
            name: of the server.
        """
        known = path.with_name(path.name + ".known_hosts")
        known.write_text(f"[{self.host}]:{self.port} {self.host_key}\n")
        own = [f"HostName {self.host}", f"Port {self.port}", f"User {self.user}", f"IdentityFile {self.identity}"]
        own += ["IdentityAgent none", f"UserKnownHostsFile {known}", "GlobalKnownHostsFile none"]
        path.write_text("\n ".join([f"Host {name}", *lines, *own]) + "\n")
        return path

    def by_openssh(self, *lines: str, id: str = "board", **options: object) -> Device:
        """Return the Device that this host's own OpenSSH client reaches, by a configuration beside the server's.

        Args:
            lines: more lines of that configuration.
            id: the device's, and its name in the configuration.
            options: keys of `[openssh]`.
        """
        config = self.write_client_config(self.folder / f"{id}.client", *lines, name=id)
        return Device(
            id=id,
            kind="workstation",
            address=Address("openssh", host=id),
            workdir=str(self.workdir),
            options={"config": str(config), **options},
            file=Path("devices") / f"{id}.toml",
        )

    def write_device(
        self,
        lab: Path,
        *,
        id: str = "openssh",
        runtimes: Sequence[str] = (),
        workdir: Path | None = None,
        tags: Sequence[str] = (),
    ) -> Path:
        """Write devices/`id`.toml into a lab and return its path."""
        path = lab / "devices" / f"{id}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.device_toml(runtimes=runtimes, workdir=workdir, tags=tags))
        return path

    def sessions(self) -> list[int]:
        """Return the pids of the processes that serve connections, parents first."""
        return [process.pid for process in psutil.Process(self.pid).children(recursive=True) if _is_sshd(process)]

    def signal_sessions(self, signum: int) -> None:
        """Send a signal to every process that serves a connection; SIGKILL cuts them, SIGSTOP makes them silent."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):  # a child may go with its parent
                os.kill(pid, signum)


def _is_sshd(process: psutil.Process) -> bool:
    try:
        return bool(process.name().startswith("sshd"))
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def openssh(
    folder: Path,
    *,
    port: int = 0,
    host_keys: Sequence[str] = ("ed25519",),
    environment: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server in `folder` until the block is left; the log stays there and is shown if the block fails.

    Args:
        folder: an empty folder for keys, configuration, log and the device's workdir.
        port: where to listen; 0 for any free one.
        host_keys: the kinds of host key it has; the first is the one its device file pins.
        environment: variables of the log-in, besides a PATH whose python3 is the one these tests are run by. SHLVL = 1
            keeps bash from reading the user's ~/.bashrc, which may be slow and is none of a device's business; set
            SHLVL = 0 and another HOME to have one read.
        settings: more lines of its sshd_config, which win over what stands there already.

    Raises:
        Lacking: this machine has no sshd.
        ServerError: it did not start, with what it said.
    """
    if missing := lacking(*NEEDS):
        raise Lacking(f"this machine lacks {missing}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)  # its privilege separation wants it
    variables = {**login_environment(), **(environment or {})}
    server = prepared(folder, "127.0.0.1", port or free_port(), host_keys, variables, settings)
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([str(program("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        server = dataclasses.replace(server, pid=process.pid)
        _await_banner(server, process)
        yield server
    except BaseException:
        print(f"--- {folder}/sshd.log\n{server.log[-4000:]}")
        raise
    finally:
        _stop(process)


def login_environment() -> dict[str, str]:
    """Return the variables of a log-in, with the Python that these tests are run by."""
    python = Path(sys.executable).resolve().parent  # outside of any virtual environment: no package is there
    leases = {name: value for name, value in os.environ.items() if name == "EDGEWARD_LEASES"}
    return {**leases, "SHLVL": "1", "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}


def prepared(
    folder: Path,
    listen: str,
    port: int,
    host_keys: Sequence[str],
    environment: Mapping[str, str],
    settings: Sequence[str],
) -> Server:
    """Make keys and configuration in `folder` and return the server that they are of, which does not run yet."""
    (folder / "work").mkdir(parents=True)
    for kind in host_keys:
        make_key(folder / f"host_key_{kind}", kind=kind)
    make_key(folder / "identity")
    shutil.copyfile(folder / "identity.pub", folder / "authorized_keys")
    public = (folder / f"host_key_{host_keys[0]}.pub").read_text()
    server = Server(folder, listen, port, getpass.getuser(), " ".join(public.split()[:2]), 0)
    variables = " ".join(f'"{name}={value}"' for name, value in environment.items())
    config = _CONFIG.format(
        host=server.host,
        port=port,
        folder=folder,
        host_keys="\n".join(f"HostKey {folder}/host_key_{kind}" for kind in host_keys),
        environment=variables,
    )
    # sshd takes the first of two lines that disagree
    (folder / "sshd_config").write_text("\n".join([*settings, config]))
    return server


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> None:
    """Make a key pair at `path` and `path`.pub; `kind` is ed25519, ecdsa or rsa."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_banner(server: Server, process: subprocess.Popen[bytes]) -> None:
    def ended() -> bool:
        return process.poll() is not None

    if not soon(lambda: ended() or ssh_answers(server.host, server.port, within_s=0)) or ended():
        raise ServerError(f"sshd did not start on port {server.port}:\n{server.log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the listener and every session it started, stopped ones too."""
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in everyone:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    process.wait()
    soon(lambda: not any(alive(member.pid) for member in everyone))


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet buried by its parent does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def small_disk(folder: Path, *, size_bytes: int, files: int | None = None) -> Iterator[Path]:
    """Mount a disk of `size_bytes` at `folder` until the block is left: the real thing that runs full.

    Args:
        folder: where it is mounted.
        size_bytes: how much it holds.
        files: how many files and folders it holds, its own among them; 0 for a disk that has no such number.

    Raises:
        ServerError: not root, so nothing can be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inodes = "" if files is None else f",nr_inodes={files}"
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}{inodes}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"a small disk can only be mounted by root, run the tests as root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
