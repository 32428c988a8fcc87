"""Servers that are out of date, and servers behind other servers: real ones, reached as the user's files say."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key, openssh
from harness.errors import DeviceError, HostKeyMismatch, LabError, Refused, Unreachable
from harness.model import Address, Device
from harness.transports import ssh
from tests.devices.clinic import Clinic

OLD = {
    "kex": "KexAlgorithms diffie-hellman-group14-sha1",
    "older kex": "KexAlgorithms diffie-hellman-group1-sha1",
    "cipher": "Ciphers aes128-cbc",
    "older cipher": "Ciphers 3des-cbc",
    "mac": "MACs hmac-sha1",
    "host key": "HostKeyAlgorithms ssh-rsa",
}
#: The same beside what is up to date.
ALLOWED = [
    f"{key} +{','.join(sorted(values))}"
    for key, values in {
        "KexAlgorithms": {"diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"},
        "Ciphers": {"aes128-cbc", "3des-cbc"},
        "MACs": {"hmac-sha1"},
        "HostKeyAlgorithms": {"ssh-rsa"},
    }.items()
]


@pytest.mark.parametrize("part", OLD)
def test_an_old_algorithm_is_used_only_if_the_device_file_says_so(part: str, tmp_path: Path) -> None:
    with openssh(tmp_path / "server", host_keys=("rsa",), settings=[OLD[part]]) as server:
        with pytest.raises(DeviceError, match=r"openssh: .*(legacy = true under \[ssh\]|host key of the pinned kind)"):
            ssh.connect(server.device())
        connection = ssh.connect(server.device(legacy=True))
        assert connection.run(["echo", "hello"]).text == "hello"
        connection.close()


def test_an_rsa_identity_signs_as_an_old_server_wants_it(tmp_path: Path) -> None:
    settings = ["PubkeyAcceptedAlgorithms ssh-rsa", OLD["host key"], OLD["kex"]]
    with openssh(tmp_path / "server", host_keys=("rsa",), settings=settings) as server:
        make_key(tmp_path / "rsa", kind="rsa")
        (server.folder / "authorized_keys").write_text((tmp_path / "rsa.pub").read_text())
        connection = ssh.connect(server.device(identity=str(tmp_path / "rsa"), legacy=True))
        assert connection.run(["echo", "hello"]).text == "hello"
        connection.close()


def test_a_server_of_today_is_not_spoken_to_in_the_old_way_even_if_that_is_allowed(tmp_path: Path) -> None:
    everything = ["LogLevel DEBUG1", *ALLOWED]
    with openssh(tmp_path / "server", host_keys=("rsa",), settings=everything) as server:
        ssh.connect(server.device(legacy=True)).close()
        agreed = [line for line in server.log.splitlines() if "kex: " in line]
    assert len(agreed) > 3
    assert not any(word in line for line in agreed for word in ("sha1", "cbc", "algorithm: ssh-rsa")), agreed


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Clinic(tmp_path / "home")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("three")
    with openssh(folder / "a") as first, openssh(folder / "b") as second, openssh(folder / "c") as third:
        yield [first, second, third]


def device(name: str) -> Device:
    return Device(name, "sbc", Address("ssh", host=name), file=Path("devices") / f"{name}.toml")


def client_port(device: Device) -> int:
    """Return from which port the connection comes, as the device's own server sees it."""
    connection = ssh.connect(device)
    try:
        return int(connection.run(["sh", "-c", "echo $SSH_CONNECTION"]).text.split()[1])
    finally:
        connection.close()


def test_a_device_behind_a_jump_host_is_reached_through_it(clinic: Clinic, three: list[Server], tmp_path: Path) -> None:
    clinic.knows("gate", three[0])
    clinic.knows("scanner", three[1], jump="gate")
    before = len(three[0].log)
    connection = ssh.connect(device("scanner"))
    (tmp_path / "file").write_bytes(bytes(range(256)) * 20_000)
    connection.push(tmp_path / "file", str(tmp_path / "there"))
    assert (tmp_path / "there").read_bytes() == (tmp_path / "file").read_bytes()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda n: connection.run(["echo", str(n)]).text, range(30)))
    assert answers == [str(n) for n in range(30)]
    assert "Accepted publickey" in three[0].log[before:]
    connection.close()


@pytest.mark.parametrize("way", ["a list", "each its own"])
def test_a_device_behind_two_jump_hosts_is_reached_through_both(clinic: Clinic, three: list[Server], way: str) -> None:
    clinic.knows("gate", three[0])
    clinic.knows("ward", three[1], jump="gate" if way == "each its own" else "")
    clinic.knows("scanner", three[2], jump="ward" if way == "each its own" else "gate,ward")
    before = [len(server.log) for server in three]
    assert client_port(device("scanner")) > 0
    assert all("Accepted publickey" in server.log[length:] for server, length in zip(three, before, strict=True))


def test_a_jump_host_may_stand_there_with_user_and_port(clinic: Clinic, three: list[Server]) -> None:
    gate = three[0]
    clinic.knows("scanner", three[1], jump=f"{gate.user}@{gate.host}:{gate.port}")
    clinic.knows("unused", gate)
    (clinic.home / ".ssh/id_ed25519").write_bytes(gate.identity.read_bytes())
    assert client_port(device("scanner")) > 0


def test_a_jump_host_whose_key_is_unknown_is_refused(clinic: Clinic, three: list[Server]) -> None:
    clinic.knows("gate", three[0], pinned=False)
    clinic.knows("scanner", three[1], jump="gate")
    with pytest.raises(
        HostKeyMismatch, match=rf"scanner: the host key of the jump host gate \(127\.0\.0\.1:{three[0].port}\)"
    ):
        ssh.connect(device("scanner"))


def test_a_jump_host_that_finds_nothing_behind_it_is_named(clinic: Clinic, three: list[Server], tmp_path: Path) -> None:
    with openssh(tmp_path / "gone") as gone:
        pass
    clinic.knows("gate", three[0])
    clinic.knows("scanner", gone, jump="gate")
    with pytest.raises(Unreachable, match=rf"the jump host gate \(.*\) finds no way on to 127\.0\.0\.1:{gone.port}"):
        ssh.connect(device("scanner"))


def test_a_jump_host_that_forwards_nothing_is_told_what_to_allow(clinic: Clinic, tmp_path: Path) -> None:
    with openssh(tmp_path / "gate", settings=["AllowTcpForwarding no"]) as gate, openssh(tmp_path / "end") as end:
        clinic.knows("gate", gate)
        clinic.knows("scanner", end, jump="gate")
        with pytest.raises(Refused, match=r"does not let us on to .*AllowTcpForwarding"):
            ssh.connect(device("scanner"))


@pytest.mark.parametrize(
    ("jumps", "said"),
    [
        ({"a": "b", "b": "a"}, "ProxyJump leads in a circle: a -> b -> a"),
        ({"a": "what:x"}, 'ssh refuses it: .* line 2: Invalid ProxyJump "what:x"'),
    ],
)
def test_jumps_that_make_no_sense_name_the_file(clinic: Clinic, jumps: dict[str, str], said: str) -> None:
    clinic.config.write_text("".join(f"Host {name}\n  ProxyJump {jump}\n" for name, jump in jumps.items()))
    with pytest.raises(LabError, match=rf"\.ssh/config: {said}"):
        ssh.connect(device("a"))
