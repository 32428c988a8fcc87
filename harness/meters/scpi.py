"""[meter]
kind = "scpi"
resource = "TCPIP::192.0.2.7::5025::SOCKET" # as VISA names it; USB0::…::INSTR, ASRL/dev/ttyUSB0::INSTR, GPIB0::…
power = "MEAS:POW? (@{channel})"            # the question for watts; or leave it out and ask for
voltage = "MEAS:VOLT? (@{channel})"         # volts
current = "MEAS:CURR? (@{channel})"         # and amperes
channel = 1                                 # what stands for {channel} in a question
setup = ["SENS:CURR:RANG:AUTO ON"]          # sent once at the beginning
backend = "@py"                             # which VISA library; "" for the vendor's
timeout_s = 2.0                             # longest time for an answer

A bench supply, a multimeter or a power analyser that the host asks over PyVISA. Five answers a second are the least.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

from harness.meters import missing

QUANTITY = "watts"

_VOLTAGE, _CURRENT = "MEAS:VOLT?", "MEAS:CURR?"


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    resource: str = ""
    power: str = ""
    voltage: str = ""
    current: str = ""
    channel: int = 1
    setup: tuple[str, ...] = ()
    backend: str = "@py"
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if self.power and (self.voltage or self.current):
            raise ValueError("power is asked for, or voltage and current, not both; leave one out")
        if not 0 < self.timeout_s <= 60:
            raise ValueError(f"timeout_s must lie between 0 and 60 s, not {self.timeout_s:g}")

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked for a reading: watts, or volts and amperes."""
        asked = (self.power,) if self.power else (self.voltage or _VOLTAGE, self.current or _CURRENT)
        return tuple(question.replace("{channel}", str(self.channel)) for question in asked)


class Meter:
    """Watts drawn now, as an instrument says; `resolution` follows the digits of its answers."""

    def __init__(self, options: Options) -> None:
        if not options.resource:
            raise ValueError("resource is empty: name the instrument, such as TCPIP::192.0.2.7::5025::SOCKET")
        self._options, self.resolution = options, 0.0
        self._manager, self._instrument, self._errors = _opened(options)
        try:
            for command in options.setup:
                self._told(command)
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> float:
        """Return the watts that the instrument measures now."""
        answers = [number(self._asked(question), question) for question in self._options.questions]
        values = [value for value, _ in answers]
        watts = math.prod(values)
        # A last digit of either factor moves the product by the other factor.
        self.resolution = sum(step * abs(math.prod(values) / value) if value else 0.0 for value, step in answers)
        return watts

    def charging(self) -> bool:
        """Return False: the instrument sits in the supply."""
        return False

    def close(self) -> None:
        """Let go of the instrument."""
        self._instrument.close()
        self._manager.close()

    def _told(self, command: str) -> None:
        try:
            self._instrument.write(command)
        except self._errors as error:
            raise OSError(f"{self._options.resource} does not take {command!r}: {_words(error)}") from error

    def _asked(self, question: str) -> str:
        try:
            with warnings.catch_warnings():
                # An answer that was cut short is no number, which says more than a warning.
                warnings.simplefilter("ignore")
                return str(self._instrument.query(question))
        except self._errors as error:
            raise OSError(f"{self._options.resource} does not answer {question!r}: {_words(error)}") from error


def number(answer: str, question: str) -> tuple[float, float]:
    """Return the one number that an answer is, with or without a unit, and what a step of its last digit is.

    Raises:
        ValueError: it is something else (an error begins with a number, too: -113,"Undefined header"), or the
            instrument is out of its range (9.9E37 by SCPI-99, 7.2.1.5).
    """
    match = re.fullmatch(r"\s*([+-]?\d+(?:\.(\d*))?(?:[Ee]([+-]?\d+))?)\s*[A-Za-z]*\s*", answer)
    value = float(match[1]) if match else math.nan
    if match is None or not math.isfinite(value) or abs(value) >= 9e36:
        raise ValueError(f"{question!r} was answered by {answer.strip()[:60]!r}, which is no measured number")
    return value, 10.0 ** (int(match[3] or 0) - len(match[2] or ""))


def _opened(options: Options) -> tuple[Any, Any, tuple[type[Exception], ...]]:
    try:
        import pyvisa
    except ImportError:
        raise missing("PyVISA") from None
    errors = (pyvisa.errors.Error, OSError, UnicodeDecodeError)
    try:
        manager = pyvisa.ResourceManager(options.backend)
    except (*errors, ValueError) as error:
        raise OSError(f"backend {options.backend!r} does not start: {_words(error)}") from error
    try:
        instrument = manager.open_resource(
            options.resource,
            read_termination="\n",
            write_termination="\n",
            timeout=options.timeout_s * 1000,
        )
    except (*errors, ValueError) as error:
        there = ", ".join(manager.list_resources()) or "none"
        manager.close()
        raise OSError(f"no instrument at {options.resource!r}: {_words(error)}; seen on this host: {there}") from error
    return manager, instrument, errors


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
