"""devices/NAME.toml as a pydantic model: what may stand where, with the sentence an editor shows for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from harness.lab.strict import Id, Table, wrong
from harness.model import BIG_CORES, Address, Device, Limits, Recover, core_numbers

_LIMITS, _DEVICE, _RECOVER = Limits(), Device("", "", Address("")), Recover("", {})


def checked_cores(text: str) -> str:
    """Return a list of cores unchanged; raises PydanticCustomError for one that is none."""
    if text not in ("", BIG_CORES):
        try:
            core_numbers(text)
        except ValueError as error:
            raise wrong(f"{text!r} is no list of cores", remedy='write "big", or numbers such as "0-3,6"') from error
    return text


class MeterTable(Table):
    """`[meter]`: where energy is read; the other keys are the meter's own."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="Name of the meter.")
    side: Literal["device", "host"] | None = Field(
        default=None, description="Who reads it: the device where it can, unless this says host."
    )


class LimitsTable(Table):
    """`[limits]`: when the device may be measured."""

    max_start_temperature_c: float | None = Field(
        default=None, ge=-40, le=150, description="Wait until the device is no hotter than this, in degrees Celsius."
    )
    thermal_zone: str = Field(
        default="", description="Type of the thermal zone that is meant; the hottest of all if left out."
    )
    min_battery_ratio: float | None = Field(
        default=None, ge=0, le=1, description="Refuse below this battery charge, 0 to 1."
    )
    cooldown_s: float = Field(default=_LIMITS.cooldown_s, ge=0, description="How long to wait for cooling, in seconds.")


class RecoverTable(Table):
    """`[recover]`: how a device that does not answer is reset; the one other key names the way."""

    model_config = ConfigDict(extra="allow")

    attempts: int = Field(
        default=_RECOVER.attempts, ge=1, le=10, description="How often it is reset in a campaign at most."
    )
    back_off_s: float = Field(
        default=_RECOVER.back_off_s,
        ge=0,
        le=600,
        description="Pause before the second reset, in seconds; twice as long before each further one.",
    )
    limit_s: float = Field(
        default=_RECOVER.limit_s, gt=0, le=3600, description="How long a reset may take, in seconds."
    )


class BatteryTable(Table):
    """`[battery]`: what the device's own battery holds when it is full."""

    capacity_wh: float | None = Field(default=None, gt=0, le=10_000, description="Its capacity, in watt-hours.")
    capacity_mah: float | None = Field(
        default=None, gt=0, le=10_000_000, description="Its capacity in milliampere-hours; needs `voltage_v`."
    )
    voltage_v: float | None = Field(default=None, gt=0, le=1000, description="Its nominal voltage, in volts.")

    @model_validator(mode="after")
    def _one_capacity(self) -> BatteryTable:
        by_charge = (self.capacity_mah is not None, self.voltage_v is not None)
        if (self.capacity_wh is not None) == any(by_charge) or any(by_charge) != all(by_charge):
            raise wrong(
                "one capacity is needed", remedy="write capacity_wh, or capacity_mah and voltage_v, as its label says"
            )
        return self

    @property
    def watt_hours(self) -> float:
        """Its capacity, W h."""
        return self.capacity_wh or (self.capacity_mah or 0.0) * (self.voltage_v or 0.0) / 1000


class DeviceTable(Table):
    """devices/NAME.toml: one device; the file's name is its id."""

    kind: Literal["phone", "sbc", "ultrasound", "workstation"] = Field(description="What kind of machine it is.")
    address: str = Field(description="Where it is; never a password.")
    description: str = Field(default="", description="One line for people.")
    tags: list[Id] = Field(default=[], description="Names to select by: `--device tag:NAME`.")
    runner: str = Field(default=_DEVICE.runner, description="What executes a job on the device.")
    lease: str = Field(default=_DEVICE.lease, description="How it is kept to one measurer at a time.")
    runtimes: list[str] = Field(
        default=[], description="Requirements, each installed into a folder of its own on the device."
    )
    workdir: str = Field(
        default="", description="Where the harness lives on the device; the transport's default if left out."
    )
    cores: Annotated[str, AfterValidator(checked_cores)] = Field(
        default="", description='Processor cores on which jobs run: "big", or numbers such as "0-3,6"; all if left out.'
    )
    python: str = Field(
        default="", description="The interpreter on the device, absolute; python3 of its PATH if left out."
    )
    meter: MeterTable | None = Field(default=None, description="Where energy is read; without it energy is absent.")
    limits: LimitsTable = Field(default=LimitsTable(), description="When the device may be measured.")
    battery: BatteryTable | None = Field(default=None, description="What its battery holds, for hours of use.")
    recover: RecoverTable | None = Field(
        default=None, description="How it is reset when it does not answer; never, if left out."
    )
