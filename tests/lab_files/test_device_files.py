"""devices/ is read strictly: what is wrong is named with its file, its key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import lab
from harness.errors import LabError
from harness.model import Address
from tests.lab_files.written import device


def test_a_device_file_becomes_a_device(folder: Path) -> None:
    read = device(folder)
    assert (read.id, read.kind, read.runner) == ("pi5", "sbc", "python")
    assert read.address == Address("ssh", host="pi5.lab", user="bench", port=22)
    assert read.runtimes == ("onnxruntime==1.31.1", "ai-edge-litert==2.3.0")
    assert read.options == {"identity": "~/.ssh/lab"}
    assert read.meter == {"kind": "power_supply"}
    assert (read.limits.max_start_temperature_c, read.limits.min_battery_ratio, read.limits.cooldown_s) == (
        55,
        0.3,
        300,
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ssh://bench@clinic.example@pi5", Address("ssh", host="pi5", user="bench@clinic.example")),
        ("ssh://CORP\\bench@pi5:2201", Address("ssh", host="pi5", user="CORP\\bench", port=2201)),
        ("ssh://bench@[fe80::1%br-lan.10]:22", Address("ssh", host="fe80::1%br-lan.10", user="bench", port=22)),
        ("openssh://[2001:db8::5]", Address("openssh", host="2001:db8::5")),
        ("openssh://pi_5", Address("openssh", host="pi_5")),
    ],
)
def test_an_address_is_read_and_written_the_same(folder: Path, text: str, found: Address) -> None:
    read = lab.devices.address(text, file=str(folder))
    assert (read, str(read)) == (found, text)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "sbc"', 'kind = "toaster"', "kind: input should be 'phone', 'sbc', 'ultrasound' or 'workstation'"),
        ('kind = "sbc"\n', "", "kind: this key is required"),
        ("tags =", "tag =", r"tag: unknown key; did you mean 'tags'\?"),
        ("identity", "identiti", r"ssh\.identiti: unknown key; did you mean 'identity'"),
        ("min_battery_ratio = 0.3", "min_battery_ratio = 30", r"limits\.min_battery_ratio: .*less than or equal to 1"),
        (
            "min_battery_ratio",
            "min_batery_ratio",
            r"limits\.min_batery_ratio: unknown key; did you mean 'min_battery_r",
        ),
        ("= 55", '= "55"', r"limits\.max_start_temperature_c: input should be a valid number, not '55'"),
        ('"power_supply"', '"powersuply"', r"meter\.kind: unknown meter 'powersuply'; did you mean 'power_supply'"),
        ('kind = "power_supply"', 'kind = "power_supply"\npth = "x"', r"meter\.pth: unknown key; did you mean 'path'"),
        ("onnxruntime==", "onxruntime==", r"runtimes: unknown runtime 'onxruntime'; did you mean 'onnxruntime'"),
        ("onnxruntime==1.31.1", "onnxruntime=1.31.1", r"runtimes: .* is not a requirement; write NAME==VERSION"),
        ("ai-edge-litert==2.3.0", "onnxruntime==1.31.1", r"runtimes: .* stands here twice"),
        ('"arm64"', '"arm 64"', r"tags\[1\]: 'arm 64' cannot be an id"),
        ("ssh://bench@pi5.lab:22", "shs://pi5", r"address: unknown scheme 'shs'; did you mean 'ssh'"),
        (
            "ssh://bench@pi5.lab:22",
            "pi5.lab",
            r"address: unknown scheme 'pi5\.lab' \(an address begins with its scheme",
        ),
        (
            "ssh://bench@pi5.lab:22",
            "ssh://pi5:99999",
            r"address: .* is not an address: '99999' behind the colon .*; write ssh://bench@pi5\.lab:22",
        ),
        ("ssh://bench@pi5.lab:22", "ssh://fe80::1", r"address: .*an IPv6 address stands in brackets: \[fe80::1\]"),
        ("ssh://bench@pi5.lab:22", "ssh://[fe80::1%a b]", "address: .* 'a b' behind the % is no scope"),
        ("ssh://bench@pi5.lab:22", "ssh://[pi5]:22", "address: .* 'pi5' in the brackets is no IP address"),
        ("ssh://bench@pi5.lab:22", "ssh://be nch@pi5", "address: .* 'be nch' before the @ is no user"),
        ("ssh://bench@pi5.lab:22", "ssh://@pi5", "address: .* '' before the @ is no user"),
        ("ssh://bench@pi5.lab:22", "ssh://-oProxyCommand=x", "address: .* '-oProxyCommand=x' is no host"),
        ("ssh://bench@pi5.lab:22", "ssh://bench@pi5/home", "address: .* nothing may stand behind the host"),
        ("ssh://bench@pi5.lab:22", "ssh:pi5", "address: .* is not an address"),
        ("ssh://bench@pi5.lab:22", "ssh://", "address: .* is not an address"),
        ('"ssh://bench@pi5.lab:22"', "22", "address: input should be a valid string, not 22"),
        ("ssh://bench@pi5.lab:22", "local:", "ssh: this table belongs to ssh addresses and this one is local"),
        ("runtimes = [", 'lease = "fil"\nruntimes = [', "lease: unknown lease 'fil'; did you mean 'file'"),
        ("[limits]", "[file]\nx = 1\n[limits]", r"file\.x: unknown key"),
        *(
            ("runtimes = [", f'workdir = "{path}"\nruntimes = [', rf"workdir: {path} is a folder of the system")
            for path in (
                "/",
                "//",
                "/etc",
                "/etc/edgeward",
                "/usr/lib/x",
                "/proc/1",
                "/tmp",
                "/data/local/tmp/",
                "~",
                "/home/../etc",
                "/home/bench",
                "~/..",
                "~/../../etc",
            )
        ),
        *(
            (
                "runtimes = [",
                f'workdir = "{path}"\nruntimes = [',
                f'workdir: .* is neither .*; write "~/{remedy}" or an',
            )
            for path, remedy in (
                ("bench", "bench"),
                ("$HOME/x", "x"),
                ("~bench/x", "x"),
                ("./x", "x"),
                ("../x", "x"),
                ("${WORK}", "edgeward"),
                ("a\\u0000b", "edgeward"),
            )
        ),
        ("[limits]", "[benchmark_model]\n[limits]", "benchmark_model: unknown key"),
        (
            'kind = "power_supply"',
            'kind = "scpi"\nside = "device"',
            r"meter\.side: only the host can read this meter; remove it",
        ),
        ("runtimes = [", 'runner = "pyton"\nruntimes = [', "runner: unknown runner 'pyton'; did you mean 'python'"),
    ],
)
def test_a_wrong_device_names_file_key_and_remedy(folder: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(LabError, match=rf"^devices/pi5\.toml: {complaint}") as caught:
        device(folder, old, new)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "place", ["ssh://bench:s3cret@pi5", "ssh:bench:s3cret@pi5", "sh://bench:s3cret@pi5", "ssh://:s3cret@x"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(folder: Path, place: str) -> None:
    with pytest.raises(LabError, match="a password must not stand in a file") as caught:
        device(folder, "ssh://bench@pi5.lab:22", place)
    assert "s3cret" not in str(caught.value)


def test_an_ipv6_host_keeps_its_colons_apart_from_the_port(folder: Path) -> None:
    read = device(folder, "bench@pi5.lab:22", "bench@[fd00::5]:2222")
    assert read.address == Address("ssh", host="fd00::5", user="bench", port=2222)


@pytest.mark.parametrize("name", ["two words", "a@b", "a[b]", "-x", "all", "a::b"])
def test_a_file_name_that_would_break_an_id_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(LabError, match="id"):
        device(folder, name=name)


@pytest.mark.parametrize(
    "path", ["/var/tmp/edgeward", "~/bench", "/dev/shm/edgeward", "/usr/local/edgeward", "/data/x"]
)
def test_a_workdir_of_its_own_is_taken(folder: Path, path: str) -> None:
    assert device(folder, "runtimes = [", f'workdir = "{path}"\nruntimes = [').workdir == path


def test_broken_toml_names_the_line(folder: Path) -> None:
    (folder / "devices/pi5.toml").write_text('kind = "sbc"\naddress = \n')
    with pytest.raises(LabError, match=r"^devices/pi5\.toml:2: not valid TOML: Invalid value"):
        lab.read_device(folder / "devices/pi5.toml")
    (folder / "devices/pi5.toml").write_bytes(b"kind = '\xff'")
    with pytest.raises(LabError, match="not UTF-8"):
        lab.read_device(folder / "devices/pi5.toml")
    with pytest.raises(LabError, match="there is no such file"):
        lab.read_device(folder / "devices/other.toml")


def test_a_broken_device_file_fails_only_when_it_is_chosen(folder: Path) -> None:
    (folder / "devices/bad.toml").write_text('kind = \ntags = ["nightly"]')
    (folder / "devices/phone.toml").write_text('kind = "phone"\naddress = "local:"\ntags = ["bench"]\n')
    assert isinstance(lab.read_devices(folder)["bad"], LabError)
    assert [one.id for one in lab.select(folder, ["phone", "pi5", "phone"])] == ["phone", "pi5"]
    assert [one.id for one in lab.select(folder, ["tag:bench"])] == ["phone"]
    for selector in ("bad", "all", "tag:nightly"):
        with pytest.raises(LabError, match=r"devices/bad\.toml:1: not valid TOML"):
            lab.select(folder, [selector])


def test_an_unknown_device_or_tag_names_the_nearest(folder: Path) -> None:
    with pytest.raises(LabError, match=r"^devices: no device 'pi4'; did you mean 'pi5'\?"):
        lab.select(folder, ["pi4"])
    with pytest.raises(LabError, match=r"no device has the tag 'nightli'; did you mean 'nightly'\?"):
        lab.select(folder, ["tag:nightli"])
    (folder / "devices/pi5.toml").unlink()
    with pytest.raises(LabError, match="there is no device here"):
        lab.select(folder, ["all"])


def test_the_lab_is_the_nearest_folder_with_devices_and_suites(folder: Path) -> None:
    assert lab.find(folder / "suites/models") == folder
    (folder / "else/devices").mkdir(parents=True)
    assert lab.find(folder / "else/devices") == folder
    with pytest.raises(LabError, match="`edgeward init DIR` makes one"):
        lab.find(Path("/"))


@pytest.mark.parametrize(
    ("table", "watt_hours"),
    [("capacity_wh = 48.8", 48.8), ("capacity_mah = 4000\nvoltage_v = 3.85", 15.4)],
)
def test_a_battery_is_declared_in_watt_hours_or_as_its_label_has_it(
    folder: Path, table: str, watt_hours: float
) -> None:
    assert device(folder, "[limits]", f"[battery]\n{table}\n[limits]").battery_wh == pytest.approx(watt_hours)
    assert device(folder).battery_wh is None


@pytest.mark.parametrize("table", ["", "capacity_mah = 4000", "voltage_v = 3.85", "capacity_wh = 5\nvoltage_v = 3.7"])
def test_a_battery_of_half_a_capacity_or_of_two_is_refused(folder: Path, table: str) -> None:
    with pytest.raises(LabError, match="battery: one capacity is needed; write capacity_wh, or capacity_mah and"):
        device(folder, "[limits]", f"[battery]\n{table}\n[limits]")
