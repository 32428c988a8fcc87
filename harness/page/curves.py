"""The chart of what changed over time: one curve a variant, each in a row of its own, all on the same scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.page.charts import HALO, NAMES, NARROW, PLOT, Draw, Row, data, padded, state


def over_time(points: Sequence[Row], marks: Sequence[Row], *, title: str) -> Draw:
    """Return a drawing of one curve a row over seconds.

    Args:
        points: variant, state, at (seconds), value (in the unit of `title`).
        marks: variant, at, hover: moments to mark with a dashed line; every variant of `points` needs no mark.
        title: of the vertical axis: the unit.
    """
    values = [float(point["value"]) for point in points]
    ends = padded(min(values), max(values), False)
    last = max(float(point["at"]) for point in points)
    order = list(dict.fromkeys(str(point["variant"]) for point in points))
    names = [{"variant": name, "name": name} for name in order]

    def draw(wide: bool) -> Any:
        import altair as alt

        base = alt.Chart()
        across = alt.Scale(domain=[0, max(last, 1e-9)], nice=False)
        x = alt.X("at:Q", scale=across, axis=alt.Axis(tickCount=6), title="seconds under load")
        y = alt.Y("value:Q", scale=alt.Scale(domain=list(ends), nice=False, zero=False), axis=alt.Axis(tickCount=3))
        curve = base.transform_filter("isValid(datum.value)").mark_line(strokeWidth=1.8)
        mark = base.transform_filter("isValid(datum.hover)").mark_rule(
            color="var(--bad)", strokeWidth=1.6, strokeDash=[4, 3], aria=True
        )
        named = base.transform_filter("isValid(datum.name)").mark_text(
            align="left",
            color="var(--ink)",
            fontSize=12.5 if wide else 12,
            limit=NAMES - 60 if wide else NARROW,
            **HALO,
        )
        layers = [
            curve.encode(x=x, y=y.title(title), color=state("state")["color"]),
            mark.encode(x=alt.X("at:Q", scale=across), description=alt.Description("hover:N")),
            # Beside the rows it would push the axes of facets away from them.
            named.encode(text=alt.Text("name:N"), x=alt.XValue(0), y=alt.YValue(-9)),
        ]
        rows = alt.Row("variant:N", sort=order, header=alt.Header(title=None, labels=False))
        chart = alt.layer(*layers, data=data([*points, *marks, *names]))
        width = NAMES + PLOT + 60 if wide else NARROW - 46
        return chart.properties(width=width, height=72).facet(row=rows, spacing=28)

    return draw
