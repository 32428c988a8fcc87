"""devices/*.toml -> Device, and the choice among them by id, tag or `all`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from harness import registry
from harness.errors import LabError
from harness.lab.reading import check, parse, shown
from harness.lab.tables import DeviceTable, checked_id
from harness.model import Address, Device, Limits

#: Neither a host nor a user may begin with "-": a command line would take it for an option.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:]+(%[A-Za-z0-9]+)?")
#: Schemes that FORMATS names whose file may be missing from this version: said apart from a misspelling.
_EXAMPLES: Final = {
    "ssh": "ssh://bench@pi5.lab:22",
    "adb": "adb://SERIAL or adb://HOST:PORT",
    "labgrid": "labgrid://PLACE",
    "local": "local:",
}


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
            remedy="remove it and use the SSH agent or `identity` in [ssh]",
            file=file,
            key="address",
        )
    schemes = registry.names("transports")
    if not colon or scheme not in schemes:
        hint = "" if colon else f" (an address begins with its scheme, for example {_EXAMPLES['ssh']})"
        raise LabError(
            f"unknown scheme {scheme!r}{hint}", remedy=registry.suggestion(scheme, schemes), file=file, key="address"
        )
    parts = _split(scheme, rest)
    if parts is None:
        example = _EXAMPLES.get(scheme, f"{scheme}://NAME")
        raise LabError(f"{text!r} is not an address", remedy=f"write {example}", file=file, key="address")
    return parts


def _split(scheme: str, rest: str) -> Address | None:
    if scheme == "local":
        return None if rest.strip("/") else Address("local")
    if not rest.startswith("//"):
        return None
    try:
        url = urlsplit(f"{scheme}:{rest}")
        port, user = url.port or 0, url.username or ""
    except ValueError:
        return None
    bare = url.netloc.rpartition("@")[2]  # url.hostname would make a serial number lower-case
    host = bare.removesuffix(f":{url.port}") if url.port is not None else bare
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        url.path.strip("/")
        or url.query
        or url.fragment
        or not _HOST.fullmatch(host)
        or (user and not _NAME.fullmatch(user))
    ):
        return None
    if scheme == "adb":
        if user:
            return None
        return Address("adb", host=host, port=port) if port else Address("adb", serial=host)
    return Address(scheme, host=host, user=user, port=port)


def read_device(path: Path) -> Device:
    """Return the device that a file describes; raises LabError naming file and key."""
    file, raw = shown(path), parse(path)
    try:
        checked_id(path.stem)
    except ValueError as error:
        raise LabError(f"the file's name is the device's id, and {error}", file=file) from error
    if path.stem == "all":
        raise LabError("'all' selects every device and cannot be one's id", remedy="rename the file", file=file)
    spelled = raw.get("address")
    place = address(spelled, file=file) if isinstance(spelled, str) else None
    own = _transport_table(raw, place.scheme if place else "", file=file)
    settings = _runner_table(raw, file=file)
    table = check(DeviceTable, raw, file=file)
    if place is None:
        raise LabError("this key is required", file=file, key="address")
    _check_runner(table, file=file)
    return Device(
        id=path.stem,
        kind=table.kind,
        address=place,
        description=table.description,
        runner=table.runner,
        runtimes=_runtimes(table.runtimes, file=file),
        workdir=table.workdir,
        meter=_meter(table, file=file),
        limits=Limits(**table.limits.model_dump()),
        tags=tuple(table.tags),
        options=own,
        file=path,
        settings=settings,
    )


def _transport_table(raw: dict[str, Any], scheme: str, *, file: str) -> Mapping[str, Any]:
    """Take the transport's own table (`[ssh]`) out of `raw`; it is the only one whose keys the lab does not know."""
    own: Mapping[str, Any] = {}
    for name in registry.names("transports"):
        if name not in raw:
            continue
        if scheme and name != scheme:
            raise LabError(
                f"this table belongs to {name} addresses and this one is {scheme}",
                remedy="remove it",
                file=file,
                key=name,
            )
        own = raw.pop(name)
        if not isinstance(own, dict):
            raise LabError(f"must be a table: [{name}]", file=file, key=name)
    if scheme:
        module = registry.load("transports", scheme, file=file, key="address")
        registry.options(module, own, file=file, key=scheme)
    return own


def _runner_table(raw: dict[str, Any], *, file: str) -> Mapping[str, Any]:
    """Take the runner's own table (`[benchmark_model]`) out of `raw`, if its runner takes settings."""
    runner = raw.get("runner")
    own = raw.pop(runner) if isinstance(runner, str) and runner in raw and runner in registry.names("runners") else {}
    if not isinstance(own, dict):
        raise LabError(f"must be a table: [{runner}]", file=file, key=str(runner))
    if own:
        registry.options(
            registry.load("runners", str(runner), file=file, key="runner"), own, file=file, key=str(runner)
        )
    return own


def _check_runner(table: DeviceTable, *, file: str) -> None:
    known = registry.names("runners")
    if table.runner not in known:
        raise LabError(
            f"unknown runner {table.runner!r}", remedy=registry.suggestion(table.runner, known), file=file, key="runner"
        )


def _meter(table: DeviceTable, *, file: str) -> Mapping[str, Any] | None:
    if table.meter is None:
        return None
    rooms = {name: room for room in ("meters", "agent.meters") for name in registry.names(room)}
    kind = table.meter.kind
    if kind not in rooms:
        raise LabError(f"unknown meter {kind!r}", remedy=registry.suggestion(kind, rooms), file=file, key="meter.kind")
    own = dict(table.meter.model_extra or {})
    module = registry.load(rooms[kind], kind, file=file, key="meter.kind")
    if hasattr(module, "Options"):
        registry.options(module, own, file=file, key="meter", beside=("kind", "side"))
    here = rooms[kind] == "meters" or table.meter.side == "host"
    return {"kind": kind, **own, **({"side": "host"} if here else {})}


def _runtimes(texts: Sequence[str], *, file: str) -> tuple[str, ...]:
    seen: set[tuple[str, str]] = set()
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise LabError(
                f"{text!r} is not a requirement", remedy="write NAME==VERSION", file=file, key="runtimes"
            ) from error
        if requirement.url or requirement.marker or requirement.extras:
            raise LabError(f"{text!r} must be a plain NAME==VERSION", file=file, key="runtimes")
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
    # A broken file cannot be asked for its tags; leaving out a device that bears this one would be a silent skip.
    return re.search(rf"[\"']{re.escape(tag)}[\"']", file.read_text("utf-8", "replace")) is not None
