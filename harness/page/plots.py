"""The two charts that need more than rows: distributions of samples, and accuracy against latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.page.charts import CHARACTER, HALO, NAMES, NARROW, PLOT, Draw, Row, axis_title, data, padded, state, ticks

_PLACES: Final = (
    (10, 0, "left"), (-10, 0, "right"), (0, -15, "center"), (0, 16, "center"), (9, -13, "left"), (9, 14, "left"),
    (-9, -13, "right"), (-9, 14, "right"), (0, -29, "center"), (0, 30, "center"),
)  # fmt: skip


def distributions(
    samples: Sequence[Row], marks: Sequence[Row], *, extent: tuple[float, float], unit: str, title: str
) -> Draw:
    """Return a drawing of one density a row, on a logarithmic axis, with its percentiles.

    Args:
        samples: variant, value, state: thinned samples.
        marks: variant, name (p50, p90, p99), value, hover.
        extent: the smallest and largest value drawn.
        unit: of values and extent.
        title: what the values are.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        domain = padded(*extent, True)
        scale = alt.Scale(type="log", domain=list(domain), nice=False, clamp=True)
        heading = axis_title(f"{title}, {unit}", "logarithmic", wide)
        axis = alt.Axis(values=ticks(*domain), format="~g", title=heading)
        area = _density(domain).encode(x=alt.X("at:Q", scale=scale, axis=axis))
        place = {"x": alt.XValue(-NAMES), "y": alt.YValue(30)} if wide else {"x": alt.XValue(0), "y": alt.YValue(-8)}
        size, room = (12.5, NAMES - 12) if wide else (12, NARROW)
        base = alt.Chart().transform_filter("datum.name == 'p50'")
        name = base.mark_text(align="left", color="var(--ink)", fontSize=size, limit=room)
        order = list(dict.fromkeys(row["variant"] for row in samples))
        rows = alt.Row("variant:N", sort=order, header=alt.Header(title=None, labels=False))
        layers = [area, _percentiles(scale), name.encode(text=alt.Text("variant:N"), **place)]
        chart = alt.layer(*layers, data=data([*samples, *marks])).properties(width=PLOT if wide else NARROW, height=44)
        return chart.facet(row=rows, spacing=6 if wide else 24).resolve_scale(y="independent")

    return draw


def _density(domain: tuple[float, float]) -> Any:
    """Return the density of the logarithms of the samples: latencies vary by factors."""
    import altair as alt

    ends = [math.log10(end) for end in domain]
    base = alt.Chart().transform_filter("isValid(datum.sample)").transform_calculate(power="log(datum.sample) / LN10")
    dense = base.transform_density(
        "power", groupby=["variant", "state"], extent=ends, steps=140, as_=["power", "density"]
    ).transform_calculate(at="pow(10, datum.power)")
    area = dense.mark_area(opacity=0.55, line={"strokeWidth": 1.2, "color": "var(--ink)", "opacity": 0.5})
    return area.encode(y=alt.Y("density:Q", axis=None, stack=None), color=state("state")["color"])


def _percentiles(scale: Any) -> Any:
    import altair as alt

    base = alt.Chart().transform_filter("isValid(datum.name)")
    dash = alt.StrokeDash("name:N", legend=_legend())
    return base.mark_rule(color="var(--ink)", strokeWidth=1.6, aria=True).encode(
        x=alt.X("value:Q", scale=scale),
        strokeDash=dash.scale(domain=["p50", "p90", "p99"], range=[[1, 0], [5, 3], [2, 3]]),
        description=alt.Description("hover:N"),
    )


def _legend() -> Any:
    import altair as alt

    return alt.Legend(
        title=None,
        orient="top",
        labelColor="var(--ink)",
        symbolStrokeColor="var(--ink)",
        symbolSize=220,
        labelFontSize=12,
    )


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


def tradeoff(rows: Sequence[Row], *, x_title: str, y_title: str, x_aside: str = "") -> Draw:
    """Return a drawing of accuracy against relative latency, both with their intervals.

    Args:
        rows: variant, number (its name on a phone), x, x_low, x_high, y, y_low, y_high, state, hover.
        x_title: of the logarithmic axis of ratios.
        y_title: of the axis of percentages.
        x_aside: as for `axis_title`, of the axis of ratios.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        key = "variant" if wide else "number"
        frame = _frame(rows, *((NAMES + PLOT + 130, 380) if wide else (NARROW - 46, 320)))
        across = alt.Scale(type="log", domain=list(frame.x), nice=False)
        up = alt.Scale(domain=list(frame.y), nice=False, zero=False)
        axis = alt.Axis(values=ticks(*frame.x), format="~g", grid=True)
        x = alt.X("x:Q", scale=across, axis=axis, title=axis_title(x_title, x_aside, wide))
        y = alt.Y("y:Q", scale=up, title=y_title, axis=alt.Axis(tickCount=6))
        base, shown = alt.Chart(data(rows)), state("state")
        bar = base.mark_rule(strokeWidth=1.6, opacity=0.55).encode(color=shown["color"])
        dot = base.mark_point(filled=True, size=120, opacity=1, aria=True)
        layers = [
            alt.Chart(data([{"x": 1}])).mark_rule(color="var(--rule)", strokeWidth=1.5).encode(x=x),
            bar.encode(x=alt.X("x_low:Q", scale=across), x2=alt.X2("x_high:Q"), y=y),
            bar.encode(x=x, y=alt.Y("y_low:Q", scale=up), y2=alt.Y2("y_high:Q")),
            dot.encode(x=x, y=y, description=alt.Description("hover:N"), **shown),
        ]
        for row, place in zip(rows, placed(rows, frame, key), strict=True):
            text = alt.Chart(data([row])).mark_text(fontSize=12, color="var(--ink)", **place, **HALO)
            layers.append(text.encode(x=x, y=y, text=alt.Text(f"{key}:N")))
        return alt.layer(*layers).properties(width=frame.width, height=frame.height)

    return draw


def _frame(rows: Sequence[Row], width: int, height: int) -> Frame:
    x = padded(min(float(row["x_low"]) for row in rows), max(float(row["x_high"]) for row in rows), True)
    y = padded(min(float(row["y_low"]) for row in rows), max(float(row["y_high"]) for row in rows), False)
    return Frame(x, y, width, height)


def placed(rows: Sequence[Row], frame: Frame, key: str) -> list[dict[str, Any]]:
    """Return for each point the offset and alignment of its label that covers least of what is already there.

    Args:
        rows: as for `tradeoff`.
        frame: where the points will be drawn.
        key: the field of a row that is its label.
    """
    points = [frame.pixel(float(row["x"]), float(row["y"])) for row in rows]
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in points]
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
