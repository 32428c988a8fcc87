"""`openssh://` on a server that takes Kerberos tickets and nothing else, with a real KDC; and a ticket's faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual.kerberos import NEEDS, Realm, kerberos
from devices.virtual.openssh import Server, openssh
from devices.virtual.requirements import require
from harness.errors import Refused
from harness.model import Device
from harness.transports import openssh as transport

#: Of a server that is no member of a network's domain, and whose host key is not the realm's.
_TICKETS_ALONE = ("GSSAPIAuthentication yes", "GSSAPIStrictAcceptorCheck no", "PermitRootLogin yes")


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """Give a realm, of which this process and what it starts are members."""
    require(*NEEDS)
    with kerberos(tmp_path_factory.mktemp("kerberos") / "realm") as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def server(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of the realm that takes tickets alone."""
    assert realm
    settings = [*_TICKETS_ALONE, "PubkeyAuthentication no"]
    with openssh(tmp_path_factory.mktemp("server") / "server", settings=settings) as running:
        yield running


def refusal(device: Device) -> str:
    with pytest.raises(Refused) as caught:
        transport.connect(device)
    return str(caught.value)


def test_a_ticket_alone_lets_in(realm: Realm, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KRB5CCNAME", realm.ticket())
    connection = transport.connect(server.by_openssh("GSSAPIAuthentication yes"))
    try:
        assert connection.run(["echo", "hello"]).text == "hello"
        (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
        connection.push(tmp_path / "file", str(server.workdir / "file"))
    finally:
        connection.close()
    assert (server.workdir / "file").read_bytes() == (tmp_path / "file").read_bytes()
    assert "Accepted gssapi-with-mic for " in server.log


def test_each_fault_of_a_ticket_has_its_own_sentence(
    realm: Realm, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = server.by_openssh("GSSAPIAuthentication yes")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.folder}/none")
    assert refusal(device) == (
        "board: openssh://board: it lets in by Kerberos (GSSAPI), and there is no ticket; get one with `kinit`"
    )
    monkeypatch.setenv("KRB5CCNAME", realm.expired_ticket())
    assert refusal(device) == "board: openssh://board: the Kerberos ticket has expired; get a new one with `kinit`"
    monkeypatch.setenv("KRB5CCNAME", realm.ticket())
    assert "GSSAPIAuthentication yes` under its Host" in refusal(server.by_openssh("GSSAPIAuthentication no"))
    other = server.by_openssh("GSSAPIAuthentication yes", "User bin")
    assert "does not let its owner in as this user" in refusal(other)


def test_a_server_that_takes_keys_as_well_speaks_of_tickets_only_to_who_had_one(
    realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.folder}/none")
    with openssh(tmp_path / "both", settings=_TICKETS_ALONE) as both:
        (both.folder / "authorized_keys").write_text("")
        device = both.by_openssh("GSSAPIAuthentication yes")
        assert "; give it a key that it lets in (IdentityFile" in refusal(device)
        monkeypatch.setenv("KRB5CCNAME", realm.expired_ticket())
        assert "the Kerberos ticket has expired" in refusal(device)
