"""Asks labgrid's coordinator about one place, acquires it and releases it, over the protocol of `labgrid-client`."""

from __future__ import annotations

import getpass
import os
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from harness.errors import Busy, MissingTool, Refused, Unreachable
from harness.model import Address, Device

#: Where `labgrid-client` looks when nothing says otherwise, and how long the coordinator may take to answer; s.
_DEFAULT: Final = "127.0.0.1:20408"
_ANSWER_S: Final = 10.0
#: Stands in the name under which a place is acquired, before the lease's id: so that a place that a killed campaign
#: held is never taken for one that a person holds.
_MARK: Final = ".edgeward-"


def name_of(id: str) -> str:
    """Return the name under which a place is acquired for the lease `id`: HOST/USER, as labgrid has it, and a mark."""
    host, user = os.environ.get("LG_HOSTNAME", socket.gethostname()), os.environ.get("LG_USERNAME", getpass.getuser())
    return f"{host}/{user}{_MARK}{id}"


def is_of(name: str, id: str) -> bool:
    """Return whether a place was acquired as `name` for the lease `id`, from whatever host."""
    return bool(id) and name.endswith(_MARK + id)


@contextmanager
def session(device: Device, *, id: str = "", timeout_s: float | None = None) -> Iterator[Session]:
    """Be a client of the device's coordinator meanwhile.

    Args:
        device: one whose address is a place.
        id: of the lease that places are acquired for.
        timeout_s: how long the coordinator may take for each answer, s; None for 10 s.

    Raises:
        MissingTool: labgrid is not installed here.
        Unreachable: the coordinator does not answer, or ends the conversation.
        Refused: it knows no such place.
    """
    try:
        import grpc
        from labgrid.remote.generated import labgrid_coordinator_pb2 as words
        from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as calls
        from labgrid.util import labgrid_version
    except ImportError as error:
        remedy = "pip install 'edgeward[labgrid]'"
        raise MissingTool(f"labgrid cannot be imported ({error})", remedy=remedy, device=device.id) from error
    target = device.options.get("coordinator") or os.environ.get("LG_COORDINATOR") or _DEFAULT
    limit_s, said = timeout_s or _ANSWER_S, queue.SimpleQueue[Any]()
    said.put(words.ClientInMessage(startup={"version": labgrid_version(), "name": name_of(id)}))
    said.put(words.ClientInMessage(subscribe={"all_places": True}))
    said.put(words.ClientInMessage(subscribe={"all_resources": True}))
    said.put(words.ClientInMessage(sync={"id": 1}))
    channel = grpc.insecure_channel(target)
    try:
        grpc.channel_ready_future(channel).result(timeout=limit_s)
        stub = calls.CoordinatorStub(channel)
        heard = stub.ClientStream(iter(said.get, None))
        places, resources = _until_synced(heard, channel, limit_s)
        yield Session(device, target, stub, words, limit_s, places, resources)
    except (grpc.FutureTimeoutError, grpc.RpcError) as error:
        why = error.details() if isinstance(error, grpc.Call) else f"no answer within {limit_s:.0f} s"
        raise Unreachable(
            f"the labgrid coordinator at {target}: {why}",
            remedy='start it there, or name another: LG_COORDINATOR or [labgrid] coordinator = "HOST:PORT"',
            device=device.id,
        ) from error
    finally:
        said.put(None)
        channel.close()


def _until_synced(heard: Any, channel: Any, limit_s: float) -> tuple[dict[str, Any], list[Any]]:
    """Return the places by name and the resources that the coordinator lists before it answers our mark."""
    # A coordinator that takes the connection and then says nothing must not hold anybody.
    alarm = threading.Timer(limit_s, channel.close)
    alarm.daemon = True
    alarm.start()
    places: dict[str, Any] = {}
    resources: list[Any] = []
    try:
        for message in heard:
            if message.HasField("sync"):
                break
            for update in message.updates:
                kind = update.WhichOneof("kind")
                if kind == "place":
                    places[update.place.name] = update.place
                elif kind == "resource":
                    resources.append(update.resource)
    finally:
        alarm.cancel()
    return places, resources


class Session:
    """What the coordinator says of one device's place, and what can be asked of it."""

    def __init__(
        self,
        device: Device,
        target: str,
        stub: Any,
        words: Any,
        limit_s: float,
        places: dict[str, Any],
        resources: list[Any],
    ) -> None:
        self._device, self._stub, self._words, self._limit_s = device, stub, words, limit_s
        name = device.address.serial
        if name not in places:
            known = ", ".join(sorted(places)) or "none"
            remedy = f"write one that there is ({known}), or make it: labgrid-client -p {name} create"
            raise Refused(f"the labgrid coordinator at {target} has no place {name}", remedy=remedy, device=device.id)
        self._place, self._resources = places[name], resources

    def service(self) -> Address:
        """Return where the place's one NetworkService is; raises Unreachable for none now, Refused for several."""
        from labgrid.remote.common import ResourceMatch

        matches = [ResourceMatch.from_pb2(one) for one in self._place.matches]
        found = []
        for one in self._resources:
            path = (one.path.exporter_name, one.path.group_name, one.cls, one.path.resource_name)
            if one.cls.endswith("NetworkService") and one.avail and any(match.ismatch(path) for match in matches):
                found.append({key: getattr(value, value.WhichOneof("kind")) for key, value in one.params.items()})
        name = self._place.name
        if not found:
            text = f"no exporter offers a NetworkService for the labgrid place {name} now"
            remedy = f"start the exporter, or match its service: labgrid-client -p {name} add-match EXPORTER/GROUP/*"
            raise Unreachable(text, remedy=remedy, device=self._device.id)
        if len(found) > 1:
            text = f"the labgrid place {name} matches {len(found)} NetworkServices"
            remedy = f"leave one: labgrid-client -p {name} del-match PATTERN"
            raise Refused(text, remedy=remedy, device=self._device.id)
        params = found[0]
        return Address("ssh", host=params["address"], user=params["username"], port=int(params.get("port", 22)))

    @property
    def acquired(self) -> str:
        """The name of who has acquired the place, "" for nobody."""
        return str(self._place.acquired)

    @property
    def since(self) -> str:
        """When the place last changed hands, for people."""
        return f"{datetime.fromtimestamp(self._place.changed, UTC):%Y-%m-%d %H:%M} UTC"

    @property
    def ours(self) -> bool:
        """Whether a campaign of edgeward has acquired the place, living or killed, from whatever host."""
        return _MARK in self.acquired

    def unless_held(self) -> None:
        """Raise Busy if somebody who is no campaign has acquired the place."""
        if self.acquired and not self.ours:
            text = f"{self.acquired} has acquired the labgrid place {self._place.name} since {self.since}"
            remedy = f"wait, or ask for it: labgrid-client -p {self._place.name} release"
            raise Busy(text, remedy=remedy, device=self._device.id)

    def acquire(self, name: str, *, gone: str = "") -> None:
        """Acquire the place as `name`; the device's own lease must be held.

        Args:
            name: as of `name_of`.
            gone: id of the lease that was taken over on the device: what was acquired for that is released.

        Raises:
            Busy: somebody else has it, was faster or has it reserved.
        """
        import grpc

        self.unless_held()
        if self.acquired == name:
            return
        if self.acquired:
            # Of another campaign nothing is known here: its note may be where this account does not look.
            if not is_of(self.acquired, gone):
                place = self._place.name
                text = f"{self.acquired} has acquired the labgrid place {place} since {self.since}"
                remedy = f"wait; if that campaign is gone for certain: labgrid-client -p {place} release --kick"
                raise Busy(text, remedy=remedy, device=self._device.id)
            self.release(self.acquired)
        request = self._words.AcquirePlaceRequest(placename=self._place.name)
        try:
            self._stub.AcquirePlace(request, timeout=self._limit_s)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED):
                raise
            remedy = "wait; labgrid-client who and labgrid-client reservations say whose it is"
            raise Busy(f"labgrid: {error.details()}", remedy=remedy, device=self._device.id) from error

    def release(self, name: str) -> None:
        """Release the place if it is `name` who has it."""
        request = self._words.ReleasePlaceRequest(placename=self._place.name, fromuser=name)
        self._stub.ReleasePlace(request, timeout=self._limit_s)
