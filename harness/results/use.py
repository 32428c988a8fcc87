"""Hours of use of a battery at a stated duty, from what inferring and waiting draw.

    P = s busy + (1 - s) idle        hours = capacity / P        s = r t

with busy and idle the mean powers of the energy pass, W; t the time of one inference in it, s; r the inferences a
second of the duty; the capacity of the battery in W h. By the energy of one inference this is P = idle + r E, E being
joules net of idle power. The interval is that of P, whose uncertainties are those of the energy (harness/results/
energy.py), each by its share of the time; hours fall where P rises, so its ends change places. The capacity counts as
known: an error in it is the same factor for every model, and none in their ratio.

It holds for a meter in the supply of the whole device, as idle as it was between the windows: screen, radio and probe
as they were then. It says nothing of ageing, of cold, nor of a system that shuts down before the battery is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from harness.agent.contract import EnergyPass
from harness.errors import MeasurementError
from harness.model import Duty, Estimate, Measurement
from harness.results import energy
from harness.units import whole_percent

#: Meters that see a part of what a battery feeds.
_PARTS: Final = {"powercap": "the processor's package alone"}


def measurements(events: Sequence[EnergyPass], duty: Duty | None, capacity_wh: float | None) -> list[Measurement]:
    """Return `use_h`, hours of use of a model or why there are none; nothing where the suite states no duty.

    Args:
        events: the model's energy passes.
        duty: how often it is used.
        capacity_wh: of the battery, W h; None where it is not known.
    """
    if duty is None:
        return []
    try:
        found = hours(energy.of_events(events), duty, capacity_wh)
    except MeasurementError as error:
        return [Measurement("use_h", "h", absent_reason=str(error))]
    how = f"{duty.words}, idle otherwise, a battery of {capacity_wh:g} Wh"
    return [Measurement("use_h", "h", np.array([found.point]), None, how, estimate=found)]


def hours(found: energy.Energy, duty: Duty, capacity_wh: float | None) -> Estimate:
    """Return how long a battery lasts.

    Args:
        found: what an energy pass gave.
        duty: how often the model is used.
        capacity_wh: of the battery, W h.

    Raises:
        MeasurementError: the capacity is not known, the meter sees a part of the device, idle power was not measured,
            or the device does not keep up with the duty.
    """
    meter = str(found.notes.get("meter", ""))
    if capacity_wh is None:
        raise MeasurementError("the battery's capacity is not known", remedy="add [battery] to the device's file")
    if meter in _PARTS:
        remedy = "put a meter into the supply of the whole device"
        raise MeasurementError(f"{meter} reads {_PARTS[meter]}, and the battery feeds the whole device", remedy=remedy)
    busy = duty.images_per_s * found.power.each_s
    if busy > 1:
        text = f"the device does not keep up with {duty.words}: that takes {whole_percent(busy)} of the time"
        raise MeasurementError(text, remedy="state a lighter [duty]")
    if found.power.idle_w <= 0:
        raise MeasurementError("idle power was not measured: the meter shows none", remedy="use a finer meter")
    power = found.power.mean(busy)
    if power.low <= 0:
        raise MeasurementError("the mean power cannot be distinguished from nothing", remedy="use a finer meter")
    return replace(power, point=capacity_wh / power.point, low=capacity_wh / power.high, high=capacity_wh / power.low)
