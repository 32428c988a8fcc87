"""The charts of what changed over time: a row each, over seconds of load, launches of a job or frames of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from harness.page.charts import HALO, NAMES, NARROW, PLOT, Draw, Row, data, names, padded, size_of, state

#: Height of a row of the chart over launches, pixels, and the room above it: on a phone two lines of text stand there.
_ROW: Final = 34
_ROOM: Final = {True: 16, False: 42}


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
    named_rows = [{"variant": name, "name": name} for name in order]

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
        chart = alt.layer(*layers, data=data([*points, *marks, *named_rows]))
        width = NAMES + PLOT + 60 if wide else NARROW - 46
        return chart.properties(width=width, height=72).facet(row=rows, spacing=28)

    return draw


def over_launches(
    rows: Sequence[Row], points: Sequence[Row], marks: Sequence[Row], slowed: Sequence[int], *, launches: int
) -> Draw:
    """Return a drawing of one curve a row over the launches of a job, the first of which ends at 1.

    Args:
        rows: variant (the name of the row), text, state.
        points: variant, at (in launches), share (0..1, the height in its row); in the order of time.
        marks: the same with hover: points that are marked by a triangle.
        slowed: launches, from 0, that are shaded.
        launches: how many there are.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        # In pixels and not as facets: Vega draws each of them as a chart of its own.
        pitch = _ROW + _ROOM[wide]
        bottom = {str(row["variant"]): _ROOM[wide] + _ROW + at * pitch for at, row in enumerate(rows)}
        height = len(rows) * pitch

        def placed(given: Sequence[Row]) -> Any:
            return data([{**one, "y": round(bottom[one["variant"]] - _ROW * one["share"], 1)} for one in given])

        scale = alt.Scale(domain=[0, launches], nice=False)
        count = alt.Axis(tickCount=min(launches, 10 if wide else 5), tickMinStep=1, format="d", grid=True)
        x = alt.X("at:Q", scale=scale, axis=count, title="launches")
        up = alt.Y("y:Q", scale=None, axis=None)
        states = {str(row["variant"]): row["state"] for row in rows}
        curve = alt.Chart(placed([{**one, "state": states[one["variant"]]} for one in points]))
        layers = [
            curve.mark_line(strokeWidth=1.4).encode(x=x, y=up, color=state("state")["color"], detail="variant:N"),
        ]
        if marks:
            mark = alt.Chart(placed(marks)).mark_point(
                shape="triangle-down", size=70, color="var(--bad)", strokeWidth=1.6, yOffset=-7, aria=True
            )
            layers.append(mark.encode(x=x, y=up, description=alt.Description("hover:N")))
        if slowed:
            shade = alt.Chart(data([{"at": one, "end": one + 1} for one in slowed])).mark_rect(color="var(--band)")
            edges = {"y": alt.YValue(0), "y2": alt.Y2Value(height)}
            layers.insert(0, shade.encode(x=x, x2=alt.X2("end:Q"), **edges))
        words: dict[str, Any] = {"color": "var(--ink)", "fontSize": 12.5 if wide else 12, **HALO}
        beside = [
            {**row, "y": bottom[row["variant"]] + (-_ROW / 2 if wide else -_ROW - 22),
             "below": bottom[row["variant"]] + (-_ROW / 2 if wide else -_ROW - 7)}
            for row in rows
        ]  # fmt: skip
        base = alt.Chart(data(beside))
        name = base.mark_text(align="left", limit=NAMES - 12 if wide else NARROW, **words)
        value = base.mark_text(align="left", **words)
        below = alt.Y("below:Q", scale=None, axis=None)
        layers += [
            name.encode(x=alt.XValue(-NAMES if wide else 0), y=up, text=alt.Text("variant:N")),
            value.encode(x=alt.XValue(PLOT + 16 if wide else 0), y=below, text=alt.Text("text:N")),
        ]
        return alt.layer(*layers).properties(width=PLOT if wide else NARROW, height=height)

    return draw


def bursts(rows: Sequence[Row], runs: Sequence[Row], *, frames: int) -> Draw:
    """Return a drawing of a stream's frames, one row a variant, in which those that came to nothing are marked.

    Args:
        rows: variant, text, first and end (all frames of it).
        runs: variant, kind ("dropped" or "late"), first and end (frames, the end one behind the last), hover.
        frames: how many arrived.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        y, words = names(rows, wide)
        scale = alt.Scale(domain=[0, frames], nice=False)
        x = alt.X("first:Q", scale=scale, axis=alt.Axis(tickCount=5, format="d"), title="frames, in their order")
        ground = alt.Chart(data(rows)).mark_bar(size=2, color="var(--grid)")
        end = alt.X2("end:Q")
        layers = [ground.encode(x=x, x2=end, y=y)]
        for kind, size, colour in (("dropped", 16, "var(--bad)"), ("late", 7, "var(--unsure)")):
            own = [one for one in runs if one["kind"] == kind]
            if own:
                # A frame of thousands is narrower than a pixel, and is to be seen all the same: hence the stroke.
                mark = alt.Chart(data(own)).mark_bar(
                    size=size, color=colour, stroke=colour, strokeWidth=0.8, aria=True
                )  # fmt: skip
                layers.append(mark.encode(x=x, x2=end, y=y, description=alt.Description("hover:N")))
        return alt.layer(*layers, *words).properties(**size_of(rows, wide))

    return draw
