"""devices/*.toml -> Device, and the choice among them by id, tag or `all`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness import registry
from harness.errors import LabError
from harness.lab import workdirs
from harness.lab.device_table import DeviceTable
from harness.lab.reading import check, check_name, parse, shown
from harness.model import Address, Device, Limits, Recover


def address(text: str, *, file: str) -> Address:
    """Return the Address that `text` spells.

    Raises:
        LabError: it is malformed, holds a password (which is not repeated), or no transport has its scheme.
    """
    scheme, colon, rest = text.partition(":")
    # First of all, so that no other message ever repeats a password.
    if "@" in rest and ":" in rest.rpartition("@")[0].removeprefix("//"):
        raise LabError(
            "a password must not stand in a file",
            remedy="remove it and let the device know a key of yours",
            file=file,
            key="address",
        )
    schemes = registry.names("transports")
    if not colon or scheme not in schemes:
        hint = "" if colon else f" (an address begins with its scheme: {', '.join(examples(file=file))})"
        raise LabError(
            f"unknown scheme {scheme!r}{hint}", remedy=registry.suggestion(scheme, schemes), file=file, key="address"
        )
    transport = registry.load("transports", scheme, file=file, key="address")
    try:
        found: Address = transport.address(rest)
    except ValueError as error:
        raise LabError(
            f"{text!r} is not an address: {error}", remedy=f"write {transport.EXAMPLE}", file=file, key="address"
        ) from error
    return found


def examples(*, file: str) -> list[str]:
    """Return an address of each scheme; `file` is who asks, for the error of a transport that cannot be loaded."""
    names = registry.names("transports")
    return [str(registry.load("transports", name, file=file, key="address").EXAMPLE) for name in names]


def read_device(path: Path) -> Device:
    """Return the device that a file describes; raises LabError naming file and key."""
    file, raw = shown(path), parse(path)
    check_name(path, "device")
    if path.stem == "all":
        raise LabError("'all' selects every device and cannot be one's id", remedy="rename the file", file=file)
    spelled = raw.get("address")
    place = address(spelled, file=file) if isinstance(spelled, str) else None
    own = _transport_table(raw, place.scheme if place else "", file=file)
    if place and place.scheme in registry.names("leases"):
        _own_lease(raw, place.scheme, file=file)
    settings = _chosen_table(raw, "runners", "runner", file=file)
    lease_options = _chosen_table(raw, "leases", "lease", file=file)
    table = check(DeviceTable, raw, file=file)
    if place is None:
        raise LabError("this key is required", remedy="say where the device is", file=file, key="address")
    _check_name(table.runner, "runners", "runner", file=file)
    _check_name(table.lease, "leases", "lease", file=file)
    return Device(
        id=path.stem,
        kind=table.kind,
        address=place,
        description=table.description,
        runner=table.runner,
        runtimes=runtimes(table.runtimes, file=file),
        cores=table.cores,
        python=_python(table, file=file),
        workdir=workdirs.allowed(table.workdir, file=file),
        meter=_meter(table, file=file),
        limits=Limits(**table.limits.model_dump()),
        tags=tuple(table.tags),
        options=own,
        file=path,
        settings=settings,
        lease=table.lease,
        lease_options=lease_options,
        battery_wh=table.battery.watt_hours if table.battery else None,
        recover=_recover(table, file=file),
    )


def _own_lease(raw: dict[str, Any], scheme: str, *, file: str) -> None:
    """Let a device whose scheme brings a lease of that name be leased by it alone: others measure by it there."""
    if raw.setdefault("lease", scheme) != scheme:
        raise LabError(
            f"a device at {scheme}:// is leased by {scheme}",
            remedy=f'write lease = "{scheme}" or remove the line',
            file=file,
            key="lease",
        )


def _transport_table(raw: dict[str, Any], scheme: str, *, file: str) -> Mapping[str, Any]:
    """Take the transport's own table (`[ssh]`) out of `raw`; no other scheme's may stand there."""
    for name in registry.names("transports"):
        if name in raw and scheme and name != scheme:
            raise LabError(
                f"this table belongs to {name} addresses and this one is {scheme}",
                remedy="remove it",
                file=file,
                key=name,
            )
    if scheme:
        return _own_table(raw, "transports", scheme, "address", file=file)
    for name in registry.names("transports"):  # the address is wrong, which is what is to be said, not that these are
        raw.pop(name, None)
    return {}


def _chosen_table(raw: dict[str, Any], room: str, key: str, *, file: str) -> Mapping[str, Any]:
    """Take the own table of the plug-in that `key` names (`[benchmark_model]` of a runner) out of `raw`."""
    name = raw.get(key, DeviceTable.model_fields[key].default)
    known = isinstance(name, str) and name in registry.names(room)
    return _own_table(raw, room, name, key, file=file) if known else {}


def _own_table(raw: dict[str, Any], room: str, name: str, key: str, *, file: str) -> Mapping[str, Any]:
    """Take a plug-in's own table `[NAME]` out of `raw`, checked.

    Args:
        raw: the device's file.
        room: of the plug-in.
        name: of the plug-in.
        key: what chooses it in the file.
        file: the device's file, for the error.

    Raises:
        LabError: it is no table, or holds what the plug-in does not take.
    """
    module = registry.load(room, name, file=file, key=key)
    own = raw.pop(name, {}) if name not in DeviceTable.model_fields else {}
    if not isinstance(own, dict):
        raise LabError(f"must be a table: [{name}]", remedy="write its keys under that line", file=file, key=name)
    registry.options(module, own, file=file, key=name)
    return own


def _check_name(name: str, room: str, key: str, *, file: str) -> None:
    known = registry.names(room)
    if name not in known:
        raise LabError(f"unknown {key} {name!r}", remedy=registry.suggestion(name, known), file=file, key=key)


def _python(table: DeviceTable, *, file: str) -> str:
    if table.python and table.runner != "python":
        remedy = 'remove it, or set runner = "python"'
        raise LabError(f"the {table.runner} runner uses no Python", remedy=remedy, file=file, key="python")
    if table.python and not table.python.startswith("/"):
        text = f"{table.python!r} is no absolute path"
        raise LabError(text, remedy="write all of it, from / on", file=file, key="python")
    return table.python


def _meter(table: DeviceTable, *, file: str) -> Mapping[str, Any] | None:
    if table.meter is None:
        return None
    rooms = {name: room for room in ("meters", "agent.meters") for name in registry.names(room)}
    kind = table.meter.kind
    if kind not in rooms:
        raise LabError(f"unknown meter {kind!r}", remedy=registry.suggestion(kind, rooms), file=file, key="meter.kind")
    own = dict(table.meter.model_extra or {})
    module = registry.load(rooms[kind], kind, file=file, key="meter.kind")
    registry.options(module, own, file=file, key="meter", beside=("kind", "side"))
    if rooms[kind] == "meters" and table.meter.side == "device":
        raise LabError("only the host can read this meter", remedy="remove it", file=file, key="meter.side")
    here = rooms[kind] == "meters" or table.meter.side == "host"
    return {"kind": kind, **own, **({"side": "host"} if here else {})}


def _recover(table: DeviceTable, *, file: str) -> Recover | None:
    if table.recover is None:
        return None
    named, known = dict(table.recover.model_extra or {}), registry.names("recoveries")
    for name in named:
        if name not in known:
            remedy = registry.suggestion(name, [*known, *type(table.recover).model_fields])
            raise LabError("unknown key", remedy=remedy, file=file, key=f"recover.{name}")
    if len(named) != 1:
        remedy = f"write one of {', '.join(known)}" if not named else f"keep one of {', '.join(named)}"
        raise LabError(
            "names no way to reset the device" if not named else "names several ways to reset the device",
            remedy=remedy,
            file=file,
            key="recover",
        )
    ((way, value),) = named.items()
    own = value if isinstance(value, dict) else {way: value}
    key = f"recover.{way}" if isinstance(value, dict) else "recover"
    registry.options(registry.load("recoveries", way, file=file, key=key), own, file=file, key=key)
    return Recover(way, own, table.recover.attempts, table.recover.back_off_s, table.recover.limit_s)


def runtimes(texts: Sequence[str], *, file: str) -> tuple[str, ...]:
    """Return requirements of runtimes as they are; raises LabError, which names `file`, for one that is none."""
    seen: set[tuple[str, str]] = set()
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise LabError(
                f"{text!r} is not a requirement", remedy="write NAME==VERSION", file=file, key="runtimes"
            ) from error
        if requirement.url or requirement.marker or requirement.extras:
            raise LabError(
                f"{text!r} has more than a name and a version",
                remedy="write a plain NAME==VERSION",
                file=file,
                key="runtimes",
            )
        name, known = registry.normalised(requirement.name), registry.runtimes()
        if name not in known:
            raise LabError(
                f"unknown runtime {requirement.name!r}",
                remedy=registry.suggestion(name, known),
                file=file,
                key="runtimes",
            )
        if (name, str(requirement.specifier)) in seen:
            raise LabError(f"{text!r} stands here twice", remedy="remove one", file=file, key="runtimes")
        seen.add((name, str(requirement.specifier)))
    return tuple(texts)


def device_files(lab: Path) -> dict[str, Path]:
    """Return id -> file for devices/*.toml and, behind them, devices/virtual/*.toml, which a running device writes."""
    folder = lab / "devices"
    files = [*sorted((folder / "virtual").glob("*.toml")), *sorted(folder.glob("*.toml"))]
    found = {path.stem: path for path in files}
    return {name: found[name] for name in sorted(found, key=lambda name: (found[name].parent.name == "virtual", name))}


def read_devices(lab: Path) -> dict[str, Device | LabError]:
    """Return id -> Device, or the LabError of a broken file: it must not hide the others."""
    found: dict[str, Device | LabError] = {}
    for name, path in device_files(lab).items():
        try:
            found[name] = read_device(path)
        except LabError as error:
            found[name] = error
    return found


def select(lab: Path, selectors: Sequence[str]) -> list[Device]:
    """Return the devices that `ID`, `tag:TAG` and `all` choose, each once, in the order chosen.

    Raises:
        LabError: an unknown id or tag (naming the nearest), or the file of a chosen device is broken.
    """
    devices = read_devices(lab)
    chosen: dict[str, Device] = {}
    for selector in selectors:
        for name in _chosen(selector, devices, lab):
            device = devices[name]
            if isinstance(device, LabError):
                raise device
            chosen[name] = device
    return list(chosen.values())


def _chosen(selector: str, devices: Mapping[str, Device | LabError], lab: Path) -> list[str]:
    folder = shown(lab / "devices")
    if selector == "all":
        if not devices:
            raise LabError("there is no device here", remedy="add a NAME.toml", file=folder)
        return list(devices)
    kind, colon, tag = selector.partition(":")
    if colon and kind == "tag":
        names = [name for name, device in devices.items() if _tagged(device, tag, device_files(lab)[name])]
        if not names:
            tags = {tag for device in devices.values() if isinstance(device, Device) for tag in device.tags}
            raise LabError(f"no device has the tag {tag!r}", remedy=registry.suggestion(tag, tags), file=folder)
        return names
    if selector not in devices:
        raise LabError(f"no device {selector!r}", remedy=registry.suggestion(selector, devices), file=folder)
    return [selector]


def _tagged(device: Device | LabError, tag: str, file: Path) -> bool:
    if isinstance(device, Device):
        return tag in device.tags
    # A broken file cannot be asked for its tags; leaving out a device that has this one would be a silent skip.
    return re.search(rf"[\"']{re.escape(tag)}[\"']", file.read_text("utf-8", "replace")) is not None
