"""The charts that need more than rows: distributions, and accuracy against latency with its front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np

from harness.model import FloatArray
from harness.page.charts import (
    CHARACTER,
    HALO,
    NAMES,
    NARROW,
    PLOT,
    Draw,
    Row,
    axis_title,
    data,
    padded,
    state,
    ticks,
)

_PLACES: Final = (
    (10, 0, "left"), (-10, 0, "right"), (0, -15, "center"), (0, 16, "center"), (9, -13, "left"), (9, 14, "left"),
    (-9, -13, "right"), (-9, 14, "right"), (0, -29, "center"), (0, 30, "center"),
)  # fmt: skip


#: Height of a row of a density, pixels, and the room above it: on a phone its name stands there.
_DENSITY: Final = 44
_ROOM: Final[Mapping[bool, int]] = {True: 10, False: 40}
#: In how many steps a density is drawn, and how many bins of samples stand for one of them.
_STEPS: Final = 100
_FINER: Final = 4


def distributions(
    samples: Mapping[str, tuple[str, FloatArray]],
    marks: Sequence[Row],
    *,
    extent: tuple[float, float],
    unit: str,
    title: str,
) -> Draw:
    """Return a drawing of one density a row, on a logarithmic axis, with its percentiles.

    Args:
        samples: variant -> its state, and its samples, (N,).
        marks: variant, name (p50, p90, p99), value, hover.
        extent: the smallest and largest value drawn.
        unit: of values and extent.
        title: what the values are.
    """
    domain = padded(*extent, True)
    at = np.geomspace(*domain, _STEPS + 1)

    @cache
    def shapes() -> Sequence[FloatArray]:
        # Here and not in Vega: it would be given every sample, and draw each row as a chart of its own.
        return [density(values, domain) for _, values in samples.values()]

    def draw(wide: bool) -> Any:
        import altair as alt

        pitch = _DENSITY + _ROOM[wide]
        bottom = {name: row * pitch + _DENSITY for row, name in enumerate(samples)}
        curves = [
            {"variant": name, "state": state, "at": float(f"{x:.6g}"), "top": round(bottom[name] - _DENSITY * y, 2),
             "bottom": bottom[name]}
            for (name, (state, _)), shape in zip(samples.items(), shapes(), strict=True)
            for x, y in zip(at.tolist(), shape.tolist(), strict=True)
        ]  # fmt: skip
        lines = [
            {**mark, "top": bottom[mark["variant"]] - _DENSITY, "bottom": bottom[mark["variant"]]} for mark in marks
        ]
        names = [{"variant": name, "at": end + (-14 if wide else -_DENSITY - 8)} for name, end in bottom.items()]
        scale = alt.Scale(type="log", domain=list(domain), nice=False, clamp=True)
        axis = alt.Axis(values=ticks(*domain), format="~g", title=axis_title(f"{title}, {unit}", "logarithmic", wide))
        x, top, end = alt.X("at:Q", scale=scale, axis=axis), pixels("top"), alt.Y2("bottom:Q")
        area = alt.Chart(data(curves)).mark_area(
            opacity=0.55, line={"strokeWidth": 1.2, "color": "var(--ink)", "opacity": 0.5}
        )
        text = alt.Chart(data(names)).mark_text(
            align="left",
            color="var(--ink)",
            fontSize=12.5 if wide else 12,
            limit=NAMES - 12 if wide else NARROW,
            **HALO,
        )
        layers = [
            area.encode(x=x, y=top, y2=end, color=state("state")["color"], detail="variant:N"),
            _percentiles(lines, scale, wide).encode(y=top, y2=end),
            text.encode(x=alt.XValue(-NAMES if wide else 0), y=pixels("at"), text=alt.Text("variant:N")),
        ]
        height = len(samples) * pitch - _ROOM[wide]
        return alt.layer(*layers).properties(width=PLOT if wide else NARROW, height=height)

    return draw


def pixels(field: str, channel: Any = None) -> Any:
    """Return the channel, y where none is given, of what is in pixels already."""
    import altair as alt

    return (channel or alt.Y)(f"{field}:Q", scale=None, axis=None)


def density(samples: FloatArray, domain: tuple[float, float]) -> FloatArray:
    """Return the density of the logarithms of samples, relative to its own highest point: latencies vary by factors.

    A Gaussian kernel with the bandwidth of Scott's rule, over bins of a quarter of a step.

    Args:
        samples: (N,) positive numbers.
        domain: smallest and largest value drawn; samples beyond it count for the bandwidth alone.

    Returns:
        (_STEPS + 1,) numbers of 0..1, at even steps of the logarithm of the domain.
    """
    powers, (low, high) = np.log10(samples), np.log10(domain)
    step = (high - low) / _STEPS / _FINER
    half = step / 2
    counts, _ = np.histogram(powers, _STEPS * _FINER + 1, (low - half, high + half))
    quarters = np.subtract(*np.quantile(powers, [0.75, 0.25])) / 1.34
    width = 1.06 * (min(float(powers.std()), quarters) or float(powers.std())) * len(powers) ** -0.2
    reach = min(int(4 * width / step) + 1, len(counts) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / max(width, half)) ** 2)
    smooth = np.convolve(counts, kernel)[reach : reach + len(counts) : _FINER]
    return np.asarray(smooth / max(float(smooth.max()), 1e-300), np.float64)


def _percentiles(marks: Sequence[Row], scale: Any, wide: bool) -> Any:
    import altair as alt

    dash = alt.StrokeDash("name:N", legend=_legend(wide))
    return (
        alt.Chart(data(marks))
        .mark_rule(color="var(--ink)", strokeWidth=1.6, aria=True)
        .encode(
            x=alt.X("value:Q", scale=scale),
            strokeDash=dash.scale(domain=["p50", "p90", "p99"], range=[[1, 0], [5, 3], [2, 3]]),
            description=alt.Description("hover:N"),
        )
    )


def _legend(wide: bool) -> Any:
    import altair as alt

    return alt.Legend(
        title=None,
        orient="top",
        offset=18 if wide else 26,
        labelColor="var(--ink)",
        symbolStrokeColor="var(--ink)",
        symbolSize=220,
        labelFontSize=12,
    )


#: Percents that axes of shares have a line at.
PERCENTS: Final = (0, 25, 50, 75, 100)
#: Colours and dashes that tell curves in one plot apart; the dash changes when the colours are used up, and with each.
_COLOURS: Final = ("var(--ink)", "var(--part-1)", "var(--part-2)", "var(--part-3)")
_DASHES: Final = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4])


def shares(curves: Mapping[str, Sequence[tuple[float, float]]], *, extent: tuple[float, float], title: str) -> Draw:
    """Return a drawing of empirical distribution functions as steps over a logarithmic axis.

    Args:
        curves: variant -> its steps in rising order: a value and the share, 0..1, of all that is not above it.
        extent: the smallest and largest value drawn.
        title: of the values, with their unit.
    """
    domain = padded(*extent, True)
    rows = []
    for name, steps in curves.items():
        inside = [(at, share) for at, share in steps if at <= domain[1]]
        last = inside[-1][1] if inside else 0.0
        path = [(domain[0], 0.0), *inside, (domain[1], last)]
        rows += [{"variant": name, "at": float(f"{at:.5g}"), "share": round(100 * share, 2)} for at, share in path]

    def draw(wide: bool) -> Any:
        import altair as alt

        names, count = list(curves), len(curves)
        legend = alt.Legend(
            title=None, orient="top", columns=3 if wide else 1, labelColor="var(--ink)", labelFontSize=12,
            labelLimit=260, symbolType="stroke", symbolSize=400, symbolStrokeWidth=2,
        )  # fmt: skip
        scale = alt.Scale(type="log", domain=list(domain), nice=False, clamp=True)
        axis = alt.Axis(values=ticks(*domain), format="~g", title=axis_title(title, "logarithmic", wide))
        up = alt.Scale(domain=[0, 100], nice=False)
        colours = [_COLOURS[i % len(_COLOURS)] for i in range(count)]
        dashes = [_DASHES[i % len(_DASHES)] for i in range(count)]
        chart = alt.Chart(data(rows)).mark_line(interpolate="step-after", strokeWidth=1.8)
        return chart.encode(
            x=alt.X("at:Q", scale=scale, axis=axis),
            y=alt.Y("share:Q", scale=up, axis=alt.Axis(values=list(PERCENTS)), title="done within this time, %"),
            color=alt.Color("variant:N", legend=legend).scale(domain=names, range=colours),
            strokeDash=alt.StrokeDash("variant:N", legend=legend).scale(domain=names, range=dashes),
        ).properties(width=NAMES + PLOT if wide else NARROW - 46, height=300 if wide else 240)

    return draw


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot's domains and its size in pixels: where a point will be drawn is known before it is drawn."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int
    height: int

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is, x on a logarithmic axis."""
        across = math.log(x / self.x[0]) / math.log(self.x[1] / self.x[0])
        return across * self.width, (self.y[1] - y) / (self.y[1] - self.y[0]) * self.height


def tradeoff(
    rows: Sequence[Row],
    *,
    x_title: str,
    y_title: str,
    x_aside: str = "",
    extent: Frame | None = None,
    limits: Sequence[Row] = (),
    front: Sequence[tuple[float, float]] = (),
) -> Draw:
    """Return a drawing of accuracy against relative latency, both with their intervals.

    Args:
        rows: variant, number (its name on a phone), x, x_low, x_high, y, y_low, y_high, state, hover.
        x_title: of the logarithmic axis of ratios.
        y_title: of the axis of accuracies.
        x_aside: as for `axis_title`, of the axis of ratios.
        extent: the domains of both axes where several drawings share them; None for those of the rows.
        limits: y, text: where the suite draws a line, and how it is called.
        front: x and y of the points that no other one dominates, the fastest first.
    """
    shared = extent or frame(rows)

    def draw(wide: bool) -> Any:
        import altair as alt

        key = "variant" if wide else "number"
        width, height = (NAMES + PLOT + 130, 380) if wide else (NARROW - 46, 320)
        plot = replace(shared, width=width, height=height)
        across = alt.Scale(type="log", domain=list(plot.x), nice=False)
        up = alt.Scale(domain=list(plot.y), nice=False, zero=False)
        axis = alt.Axis(values=ticks(*plot.x), format="~g", grid=True)
        x = alt.X("x:Q", scale=across, axis=axis, title=axis_title(x_title, x_aside, wide))
        y = alt.Y("y:Q", scale=up, title=y_title, axis=alt.Axis(tickCount=6))
        base, shown = alt.Chart(data(rows)), state("state")
        bar = base.mark_rule(strokeWidth=1.6, opacity=0.55).encode(color=shown["color"])
        dot = base.mark_point(filled=True, size=120, opacity=1, aria=True)
        layers = [alt.Chart(data([{"x": 1}])).mark_rule(color="var(--rule)", strokeWidth=1.5).encode(x=x)]
        if limits:
            line = alt.Chart(data(limits))
            rule = line.mark_rule(color="var(--bad)", strokeWidth=1.6, strokeDash=[7, 4])
            words = line.mark_text(align="right", dy=-8, fontSize=11.5, color="var(--bad)", **HALO)
            layers += [rule.encode(y=y), words.encode(x=alt.XValue(width - 4), y=y, text=alt.Text("text:N"))]
        if front:
            step = alt.Chart(data(_steps(front, plot))).mark_line(
                interpolate="step-after", color="var(--accent)", strokeWidth=1.8, strokeDash=[2, 3]
            )
            layers.append(step.encode(x=x, y=y, order=alt.Order("order:Q")))
        layers += [
            bar.encode(x=alt.X("x_low:Q", scale=across), x2=alt.X2("x_high:Q"), y=y),
            bar.encode(x=x, y=alt.Y("y_low:Q", scale=up), y2=alt.Y2("y_high:Q")),
            dot.encode(x=x, y=y, description=alt.Description("hover:N"), **shown),
        ]
        written = [
            _box(width - 4, plot.pixel(1.0, one["y"])[1] - 8, CHARACTER * len(one["text"]), "right") for one in limits
        ]
        labels = [{**row, **place} for row, place in zip(rows, placed(rows, plot, key, written), strict=True)]
        offsets: dict[str, Any] = {name: alt.expr(f"datum.{name}") for name in ("dx", "dy", "align")}
        text = alt.Chart(data(labels)).mark_text(fontSize=12, color="var(--ink)", **offsets, **HALO)
        layers.append(text.encode(x=x, y=y, text=alt.Text(f"{key}:N")))
        return alt.layer(*layers).properties(width=width, height=height)

    return draw


def _steps(front: Sequence[tuple[float, float]], plot: Frame) -> list[Row]:
    """Return the corners of the front's line, from the worst accuracy to the largest latency that are drawn."""
    rising = len(front) < 2 or front[-1][1] > front[0][1]
    ends = (front[0][0], plot.y[0] if rising else plot.y[1]), (plot.x[1], front[-1][1])
    return [{"x": x, "y": y, "order": number} for number, (x, y) in enumerate((ends[0], *front, ends[1]))]


def frame(rows: Sequence[Row], levels: Sequence[float] = ()) -> Frame:
    """Return the domains that hold all of some rows.

    Args:
        rows: as for `tradeoff`.
        levels: what else the vertical axis must hold.
    """
    x = padded(min(float(row["x_low"]) for row in rows), max(float(row["x_high"]) for row in rows), True)
    ends = [float(row[end]) for row in rows for end in ("y_low", "y_high")] + list(levels)
    return Frame(x, padded(min(ends), max(ends), False), 0, 0)


def placed(rows: Sequence[Row], frame: Frame, key: str, written: Sequence[Box] = ()) -> list[dict[str, Any]]:
    """Return for each point the offset and alignment of its label that covers least of what is already there.

    Args:
        rows: as for `tradeoff`.
        frame: where the points will be drawn.
        key: the field of a row that is its label.
        written: what else is written there: left, top, right, bottom, in pixels.
    """
    points = [frame.pixel(float(row["x"]), float(row["y"])) for row in rows]
    taken = [*((px - 7, py - 7, px + 7, py + 7) for px, py in points), *written]
    chosen = []
    for row, (px, py) in zip(rows, points, strict=True):
        length = CHARACTER * len(str(row[key]))
        boxes = [
            (_box(px + dx, py + dy, length, align), {"dx": dx, "dy": dy, "align": align}) for dx, dy, align in _PLACES
        ]
        costs = [sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box, _ in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best][0])
        chosen.append(boxes[best][1])
    return chosen


Box = tuple[float, float, float, float]


def _box(x: float, y: float, length: float, align: str) -> Box:
    left = {"left": x, "right": x - length, "center": x - length / 2}[align]
    return left, y - 8, left + length, y + 8


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _outside(box: Box, frame: Frame) -> float:
    beyond = max(0.0, -box[0]) + max(0.0, box[2] - frame.width) + max(0.0, -box[1]) + max(0.0, box[3] - frame.height)
    return 30 * beyond
