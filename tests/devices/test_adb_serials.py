"""Whatever `adb devices` lists can be named in a device file and reached; its like and the dead are kept apart."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from devices.virtual import adb_server
from devices.virtual.adb_listing import Line, Listing, listing
from devices.virtual.phone import Phone
from devices.virtual.requirements import give_up
from devices.virtual.streams import relay
from devices.virtual.waiting import soon
from harness.errors import DeviceError, LabError, Refused, TimedOut, Unreachable
from harness.lab.devices import read_device
from harness.model import Device
from harness.transports import adb
from harness.transports.adb._devices import Listed, long_list, short_list

NO_PERMISSIONS = (
    "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]"
)
SERIALS = [
    "adb-XXXX (2)._adb-tls-connect._tcp",
    "adb-14141FDF600081-gT3ad3 (2)._adb-tls-connect._tcp.",
    "AB/CD+12",
    "0123456789 ABCDEF device usb:9-9 transport_id:9",
    "00:11:22:33:44:55",
    "a'b\"c\\d$e%20;f#g?h&i*",
    "Gerät 1",
    "-n",
    "ABC:123456",
]

Written = Callable[..., Device]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Give the means to write a device's file and have the lab read it."""

    def write(address: str, keys: str = "") -> Device:
        path = tmp_path / "lab" / "devices" / "phone.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        quoted = address.replace("\\", "\\\\").replace('"', '\\"')
        path.write_text(f'kind = "phone"\naddress = "{quoted}"\n\n[adb]\nconnect_timeout_s = 15\n{keys}\n')
        return read_device(path)

    return write


def use(server: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))


def said(device: Device, *words: str) -> str:
    connection = adb.connect(device)
    try:
        return connection.run(words or ["echo", "hello"]).text
    finally:
        connection.close()


def refusal(device: Device, kind: type[DeviceError], *, timeout_s: float = 30) -> str:
    """Return the message with which `device` cannot be reached."""
    with pytest.raises(kind) as caught:
        adb.connect(device, timeout_s=timeout_s)
    assert type(caught.value) is kind
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("serial", SERIALS)
def test_a_serial_number_is_taken_as_it_is_listed(
    serial: str, android: Phone, adb_port: int, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(android.device())
    with listing(Line("other", transport_id=2), Line(serial, real=android.serial), behind=adb_port) as server:
        use(server, monkeypatch)
        device = written(f"adb://{serial}")
        assert str(device.address) == f"adb://{serial}"
        assert said(device) == "hello"
        (tmp_path / "file").write_text("content")
        connection = adb.connect(device)
        connection.push(tmp_path / "file", android.device().workdir + "/file")
        assert connection.run(["cat", android.device().workdir + "/file"]).text == "content"
        connection.close()
        assert f"host:transport:{serial}" in server.asked


def test_a_device_without_a_serial_number_is_reached(
    android: Phone, adb_port: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(android.device())
    with listing(Line("(no serial number)", transport_id=5, real=android.serial), behind=adb_port) as server:
        use(server, monkeypatch)
        assert said(written("adb://(no serial number)")) == "hello"
        assert "host:transport-id:5" in server.asked


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("adb:SERIAL", "must be followed by //"),
        ("adb://", "must be followed by // and a serial number"),
        ("adb://a\\tb", "holds no tab"),
        ("adb://usb:1-2", r'usb:1-2 is a port; write the serial number, and usb = "1-2" under \[adb\]'),
        ("adb://::1", r"::1 is the address of a machine, which has a port: \[::1\]:5555"),
        ("adb://[fe80::1%eth0.1]", r"has a port: \[fe80::1%eth0.1\]:5555"),
        ("adb://192.0.2.7", "has a port: 192.0.2.7:5555"),
        ("adb://[::1]:70000", "'70000' behind the colon is no port from 1 to 65535"),
        ("adb://[pixel]:5555", "'pixel' in the brackets is no IP address"),
        ("adb://pixel.lab:0", "'0' behind the colon is no port"),
        ("adb://bench@pixel.lab:5555", "adb knows no users"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_part_at_fault(address: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "phone.toml"
    path.write_text(f'kind = "phone"\naddress = "{address}"\n')
    with pytest.raises(LabError, match=why):
        read_device(path)


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_a_device_is_reached_by_ipv6_and_by_name(host: str, android: Phone, written: Written) -> None:
    try:
        running = relay((android.host, android.port), host=host)
        with running as way:
            address = f"adb://[{host}]:{way.port}" if ":" in host else f"adb://{host}:{way.port}"
            device = written(address)
            assert str(device.address) == address
            assert said(device) == "hello"
    except OSError as error:
        give_up(f"this machine has no {host}: {error}")


def test_a_device_is_reached_by_the_address_of_a_link_with_its_scope(own_phone: Phone, written: Written) -> None:
    interface = own_phone.machine.cable.interface
    found = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    if interface not in {line[-1] for line in found}:
        give_up(f"{interface} has no IPv6 address")
    digits = next(line[0] for line in found if line[-1] == interface)
    host = ":".join(digits[at : at + 4] for at in range(0, 32, 4)) + f"%{interface}"

    def tentative() -> bool:
        listed = Path("/proc/net/if_inet6").read_text().splitlines()
        return any(int(line.split()[4], 16) & 0x40 for line in listed if line.split()[-1] == interface)

    assert soon(lambda: not tentative())
    with relay((own_phone.host, own_phone.port), host=host) as way:
        assert said(written(f"adb://[{host}]:{way.port}")) == "hello"


def test_two_links_to_one_device_are_two_devices_of_the_list(android: Phone, written: Written) -> None:
    with relay((android.host, android.port)) as way:
        both = [adb.connect(android.device()), adb.connect(written(f"adb://127.0.0.1:{way.port}"))]
        spaces = {connection.run(["readlink", "/proc/self/ns/pid"]).text for connection in both}
        assert len(spaces) == 1
        both[1].close()
        assert both[0].run(["echo", "hello"]).text == "hello"
        both[0].close()


@pytest.fixture
def twins(android: Phone) -> Sequence[Line]:
    """Give two lines of one serial number: the first is a phone, the second never answers."""
    said(android.device())
    good = Line("0123456789ABCDEF", usb="1-2", transport_id=3, real=android.serial)
    return good, Line("0123456789ABCDEF", usb="1-4.1", transport_id=7)


def test_two_devices_of_one_serial_number_are_refused_with_what_tells_them_apart(
    twins: Sequence[Line], adb_port: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(*twins, behind=adb_port) as server:
        use(server, monkeypatch)
        device = written("adb://0123456789ABCDEF")
        message = refusal(device, Refused)
        places = "usb 1-2, transport_id 3 (device); usb 1-4.1, transport_id 7 (device); write under [adb] in"
        assert f"phone: adb lists 2 devices of the serial number 0123456789ABCDEF: {places}" in message
        assert f'{device.file} which one is meant, as in usb = "1-2" (the port stays the same' in message
        assert [request for request in server.asked if "transport" in request] == []


def test_a_second_one_that_comes_later_takes_no_command_of_the_first(
    twins: Sequence[Line], adb_port: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(twins[0], behind=adb_port) as server:
        use(server, monkeypatch)
        connection = adb.connect(written("adb://0123456789ABCDEF"))
        server.lines = list(twins)
        with pytest.raises(Unreachable, match="the connection to 0123456789ABCDEF was lost during `echo`"):
            connection.run(["echo", "hello"])
        connection.close()
        refusal(written("adb://0123456789ABCDEF"), Refused)


def test_what_the_server_says_to_an_address_that_it_cannot_reach_is_passed_on(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(Line("other")) as server:
        use(server, monkeypatch)
        message = refusal(written("adb://[fe80::1%eth0]:5555"), Unreachable)
        assert "adb cannot reach [fe80::1%eth0]:5555 (device not found" in message
        assert "host:connect:[fe80::1%eth0]:5555" in server.asked


@pytest.mark.parametrize("keys", ['usb = "1-2"', 'usb = "usb:1-2"', "transport_id = 3"])
def test_the_port_or_the_number_of_the_link_chooses_among_them(
    keys: str, twins: Sequence[Line], adb_port: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(*reversed(twins), behind=adb_port) as server:
        use(server, monkeypatch)
        connection = adb.connect(written("adb://0123456789ABCDEF", keys))
        assert connection.run(["echo", "hello"]).text == "hello"
        assert "host:transport-id:7" not in server.asked
        # another server gives other numbers, and a command must not reach the device that now has the old one
        server.lines = [Line("other", usb="1-9", transport_id=3, real=twins[0].real)]
        with pytest.raises(Unreachable):
            connection.run(["echo", "hello"])
        connection.close()


def test_a_port_with_another_device_is_said_with_where_that_serial_number_is(
    twins: Sequence[Line], adb_port: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(*twins, behind=adb_port) as server:
        use(server, monkeypatch)
        message = refusal(written("adb://0123456789ABCDEF", 'usb = "1-3"'), Unreachable)
        assert "adb sees no 0123456789ABCDEF at usb 1-3, but that serial number at usb 1-2, transport_id 3" in message
        message = refusal(written("adb://0123456789ABCDEF", "transport_id = 9"), Unreachable)
        assert "adb sees no 0123456789ABCDEF with transport_id 9" in message
        assert "(transport_id is another one each time it is plugged in)" in message


@pytest.mark.parametrize("keys", ['usb = "port 1"', "transport_id = -1", "usb = 1"])
def test_a_port_that_is_none_is_refused(keys: str, written: Written) -> None:
    with pytest.raises(LabError, match=keys.partition(" ")[0]):
        written("adb://0123456789ABCDEF", keys)


def test_a_device_whose_links_come_up_and_run_nothing_is_dead(
    own_phone: Phone, written: Written, adb_port: int
) -> None:
    with relay((own_phone.host, own_phone.port), mute=True) as way:
        device = written(f"adb://127.0.0.1:{way.port}")
        message = refusal(device, TimedOut, timeout_s=6)
        assert f"127.0.0.1:{way.port} is listed but dead: adb calls it `device`, and no shell answers" in message
        assert "over a new link too; restart it, or plug it in at another port" in message
        assert adb_server.state(adb_port, f"127.0.0.1:{way.port}") == "device"
        way.mute = False
        subprocess.run(["adb", "-P", str(adb_port), "disconnect", f"127.0.0.1:{way.port}"], check=True, timeout=60)
        assert said(device) == "hello"


@pytest.mark.parametrize(("state", "end"), [("offline", "offline"), ("", "gone")])
def test_a_port_that_died_under_a_listed_device_makes_it_dead_and_not_asleep(
    state: str, end: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(Line("R58M", usb="1-2"), closes=True) as server:
        use(server, monkeypatch)
        server.renewed = [Line("R58M", state, usb="1-2", transport_id=2)] if state else []
        message = refusal(written("adb://R58M", "transport_id = 1"), Unreachable)
    assert "R58M at usb 1-2 is listed but dead: adb calls it `device`, and no shell starts (closed)" in message
    assert f"; over a new link it is {end}; restart it, or plug it in at another port" in message


def test_a_device_whose_shell_fails_is_dead_and_says_how(own_phone: Phone) -> None:
    pid = str(own_phone.machine.pid)
    system = own_phone.folder / "root" / "usr" / "bin"
    inside = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "mount", "--bind", str(system / "toybox"), str(system / "mksh")]
    subprocess.run(inside, check=True, timeout=60)
    message = refusal(own_phone.device(), Unreachable)
    assert f"{own_phone.serial} is listed but dead: adb calls it `device`, and its shell fails (code 127: " in message


@pytest.mark.parametrize(
    ("state", "kind", "sentence"),
    [
        ("unauthorized", Refused, "R58M has not authorised this computer; unlock it and allow USB debugging"),
        (NO_PERMISSIONS, Refused, "R58M may not be opened by this user; install the Debian package"),
        ("no permissions", Refused, "R58M may not be opened by this user; install the Debian package"),
        ("recovery", Refused, "R58M runs its recovery system; restart it (`adb -s R58M reboot`)"),
        ("rescue", Refused, "R58M runs its rescue system; restart it"),
        ("sideload", Refused, "R58M waits for an update (sideload); restart it"),
        ("bootloader", Refused, "R58M is in its boot loader; restart it (`fastboot reboot`)"),
        ("host", Refused, "R58M is the adb of a computer and no device; correct `address`"),
        ("offline", Unreachable, "R58M is offline: adb sees it and gets no answer; wake it"),
        (
            "authorizing",
            TimedOut,
            "(adb says 'authorizing': it is still to say whether it knows this computer); ",
        ),
        ("connecting", TimedOut, "(adb says 'connecting': adb is still connecting to it); plug it in again"),
        ("detached", TimedOut, "(adb says 'detached': adb was made to let go of it); run `adb -s R58M attach`"),
        ("unknown", TimedOut, "(adb says 'unknown': that is no state known here); look at its screen"),
    ],
)
def test_each_state_has_a_sentence_and_a_remedy_of_its_own(
    state: str, kind: type[DeviceError], sentence: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(Line("R58M", state, usb="1-2")) as server:
        use(server, monkeypatch)
        assert sentence in refusal(written("adb://R58M"), kind, timeout_s=3)


@pytest.mark.parametrize(
    ("keys", "command"), [('usb = "1-4"', "adb -s usb:1-4 reboot"), ("transport_id = 7", "adb -t 7 reboot")]
)
def test_a_remedy_for_one_of_two_twins_is_about_that_one(
    keys: str, command: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Line("A B", usb="1-2", transport_id=3), Line("A B", "recovery", usb="1-4", transport_id=7)
    with listing(*lines) as server:
        use(server, monkeypatch)
        assert f"runs its recovery system; restart it (`{command}`)" in refusal(written("adb://A B", keys), Refused)
        server.lines = [Line("A B", "recovery", usb="1-4", transport_id=7)]
        assert "restart it (`adb -s 'A B' reboot`)" in refusal(written("adb://A B"), Refused)


@pytest.mark.parametrize("gap", [" ", "\t", "      "])
def test_the_long_list_is_read_whatever_its_columns_hold(gap: str) -> None:
    lines = [
        Listed("adb-X (2)._adb-tls-connect._tcp", "device", "", 4),
        Listed("A device", "offline", "1-2", 5),
        Listed("A", "device", "2-1.4", 6),
        Listed("R58M usb:9-9 transport_id:9", NO_PERMISSIONS, "3-1", 7),
        Listed("(no serial number)", "no permissions", "", 0),
        Listed("[fe80::1%eth0]:5555", "device", "", 12),
    ]
    plain = "".join(f"{line.serial}\t{line.state}\n" for line in lines)
    usbs = [f"{gap}usb:{line.usb}" if line.usb else "" for line in lines]
    ids = [f" product:a b model:usb:1 transport_id:{line.transport_id}" if line.transport_id else "" for line in lines]
    rows = zip(lines, usbs, ids, strict=True)
    long = "".join(f"{line.serial}{gap}{line.state}{usb}{number}\n" for line, usb, number in rows)
    assert long_list(short_list(plain), long) == lines


def test_lists_of_different_moments_are_not_taken_for_one() -> None:
    plain = short_list("A\tdevice\nB\tdevice\n")
    assert long_list(plain, "A  device transport_id:1\n") is None
    assert long_list(plain, "A  device transport_id:1\nB  offline transport_id:2\n") is None
    assert long_list(plain, "A  device2 transport_id:1\nB  device transport_id:2\n") is None
