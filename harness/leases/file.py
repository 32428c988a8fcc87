"""lease = "file"

[file]
place = "/run/lock/edgeward"               # optional; a folder of the device that all accounts may write

Who measures is noted in a folder of the machine itself, not of the workdir, so two device files of one machine exclude
one another. It is the first of `/data/local/tmp`, `/dev/shm`, `/tmp`, `/var/tmp` and `/run` that can be written, unless
`place` or the device's environment variable `EDGEWARD_LEASES` names another.

The notes are numbered: `edgeward.lease.N` is a symbolic link whose text is a whole lease (its id, when it was taken,
the owner), or `free`; the highest number is in force. Each change, to take, to take over and to let go, makes the link
N+1, which `ln -s` does in one step or refuses: of several who try, one wins, and nobody removes what is in force. Who
made a link looks once more whether it is the highest, since a number that was cleared away meanwhile could be made
twice. Links are read and made in one round trip, need no tool but `ln` and `readlink`, are whole or absent, and can be
followed up by another account, also where only its owner may remove a file.

A lease is kept by its beat, `edgeward.beat.ID`: the device's boot id and seconds since it was started, so that no set
clock matters. One of another boot, of the future, or older than `EXPIRY_S` belongs to somebody who is gone. The host
writes it (`harness.deploy.lease`) except while a job runs, when nothing may be sent: then the device side does, between
two rounds, as long as its host is there (`harness.agent.presence`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from harness.errors import Busy, Refused
from harness.ports.leases import Hold, Owner
from harness.ports.runners import Handle

#: After so long without a beat an owner is gone; the beats come every 10 s, so a blink of the network is no end; s.
EXPIRY_S: Final = 60

#: sh -c SCRIPT sh VERB PLACE ID OWNER: prints one word, who holds the device or held it, and the beat's path.
_SCRIPT: Final = r"""
verb=$1 place=${2:-$EDGEWARD_LEASES} id=$3 owner=$4 expiry=EXPIRY
umask 022
if [ -n "$place" ]; then
  [ -d "$place" ] || { mkdir -p "$place" && chmod 1777 "$place"; } 2>/dev/null
else
  for place in /data/local/tmp /dev/shm /tmp /var/tmp /run; do [ -d "$place" ] && [ -w "$place" ] && break; done
fi
nowhere() { printf '%s\n' nowhere "$place"; exit; }
[ -d "$place" ] && { [ "$verb" = holder ] || [ -w "$place" ]; } || nowhere
clock() {
  boot='' up=''
  { read -r boot < /proc/sys/kernel/random/boot_id; read -r up rest < /proc/uptime; } 2>/dev/null
  up=${up%%.*}
  [ -n "$up" ] || { boot=clock; up=$(date +%s); }
  boot=${boot:-unknown}
}
number() { case $1 in ''|*[!0-9]*|????????????????*) return 1;; esac; }
# Sets top, the number in force, and what it says.
look() {
  top=0
  for file in "$place"/edgeward.lease.*; do
    n=${file##*.}
    number "$n" && [ "$n" -gt "$top" ] && top=$n
  done
  said=$(readlink "$place/edgeward.lease.$top" 2>/dev/null)
  its=${said%% *} from=${said#* }
  from_boot=${from%% *} from=${from#* }
  at=${from%% *} who=${from#* }
  [ -n "$said" ] || its=free
  { read -r b a < "$place/edgeward.beat.$its"; } 2>/dev/null && number "$a" && from_boot=$b at=$a
  # Read last: a lease that was made a moment ago is never of the future.
  clock
}
fresh() { number "$at" && [ "$from_boot" = "$boot" ] && [ "$up" -ge "$at" ] && [ $((up - at)) -le $expiry ]; }
# Makes the next number say $1; whether it did, and nothing higher is there.
next() {
  made=$((top + 1))
  ln -s "$1" "$place/edgeward.lease.$made" 2>/dev/null || return 1
  was=$its was_who=$who
  look
  [ "$top" = "$made" ] || { rm -f "$place/edgeward.lease.$made"; return 1; }
  for file in "$place"/edgeward.lease.*; do
    n=${file##*.}
    number "$n" && [ "$n" -lt "$((made - 1))" ] && rm -f "$file"
  done 2>/dev/null
  rm -f "$place/edgeward.beat.$was" 2>/dev/null
  return 0
}
beat() { printf '%s %s\n' "$boot" "$up" 1<> "$place/edgeward.beat.$id"; }
answer() { printf '%s\n' "$1" "$2" "$place/edgeward.beat.$id"; exit; }
for try in 1 2 3 4 5 6 7 8; do
  look
  case $verb in
  holder) [ "$its" != free ] && fresh && answer held "$who"; answer free '';;
  free) [ "$its" = "$id" ] || answer free ''; next free && answer free '';;
  take)
    [ "$its" = "$id" ] && { beat; answer taken ''; }
    [ "$its" != free ] && fresh && answer busy "$who"
    if next "$id $boot $up $owner"; then
      beat
      [ "$was" = free ] && was_who=
      answer taken "$was_who"
    fi
    before=$made
    look
    # Nobody made it and it could not be made: this file system knows no links.
    [ "$before" = "$((top + 1))" ] && [ ! -L "$place/edgeward.lease.$before" ] && nowhere;;
  esac
done
answer busy "$who"
""".replace("EXPIRY", str(EXPIRY_S))


@dataclass(frozen=True, slots=True)
class Options:
    """`place`: the folder of the device in which it is noted who measures."""

    place: str = ""


def take(handle: Handle, owner: Owner) -> Hold:
    """Become the one measurer of the device, or stay it.

    Raises:
        Busy: somebody else is; the message says who.
        Refused: the device has no folder to note it in.
    """
    word, who, beat = _asked(handle, "take", owner)
    if word == "nowhere":
        text = f"who measures cannot be noted in {who} on the device"
        remedy = "let its account write there and make symbolic links, or name another folder: [file] place"
        raise Refused(text, remedy=remedy, device=handle.device.id)
    if word != "taken":
        remedy = f"wait: a lease ends by itself {EXPIRY_S} s after the last sign of its owner"
        raise Busy(f"{Owner.read(who)} is measuring on it", remedy=remedy, device=handle.device.id)
    return Hold(beat, Owner.read(who) if who else None)


def free(handle: Handle, owner: Owner) -> None:
    """Let the next one measure, if it is `owner` who does now."""
    _asked(handle, "free", owner)


def holder(handle: Handle) -> Owner | None:
    """Return who measures on the device now, None if nobody does."""
    word, who, _ = _asked(handle, "holder", None)
    return Owner.read(who) if word == "held" else None


def _asked(handle: Handle, verb: str, owner: Owner | None) -> tuple[str, str, str]:
    line = owner.line() if owner else ""
    place = Options(**handle.device.lease_options).place
    id = hashlib.sha256(line.encode()).hexdigest()[:16]
    done = handle.run(["sh", "-c", _SCRIPT, "sh", verb, place, id, line])
    word, who, beat = [*done.text.split("\n"), "", "", ""][:3]
    return word, who, beat
