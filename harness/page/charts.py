"""Declarative charts (Vega-Altair) as inline SVG whose colours are the page's own CSS variables.

vl-convert keeps `var(--…)` as it stands in a colour, so one drawing follows dark, light and print. Each chart is drawn
twice, for a wide page and for a phone, and CSS shows one: text then has its true size on both.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from harness.page import svg
from harness.page.wording import readable

#: Pixels: the column of names and the plot beside it on a wide page; the plot alone, names above the rows, on a phone.
NAMES: Final = 200
PLOT: Final = 620
NARROW: Final = 318
#: The width of a character, generously: the browser's font is not known here.
CHARACTER: Final = 6.9
#: Of a stacked bar: kinds of parts that have a colour, and how many of them a legend has in one row.
PARTS, FEW_PARTS = 7, 3
#: Vega-Lite's configuration of every chart.
_PAGE: Final[Mapping[str, Any]] = {"background": "transparent", "font": "system-ui", "padding": 4}
_AXES_AND_MARKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "view": {"stroke": None},
    "concat": {"spacing": 28},
    "facet": {"spacing": 6},
    # only marks with a text of ours speak; Vega's own texts hold raw numbers
    "mark": {"aria": False},
    "axis": {
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "gridColor": "var(--grid)",
        "tickColor": "var(--grid)", "domainColor": "var(--rule)", "labelFontSize": 11.5, "titleFontSize": 11.5,
        "titleFontWeight": "normal", "titlePadding": 10, "labelPadding": 5,
    },
    "title": {
        "color": "var(--ink)", "fontSize": 12.5, "fontWeight": 600, "anchor": "start", "frame": "group", "offset": 8
    },
}  # fmt: skip
#: State of a row -> colour and symbol. Never colour alone: every state has a shape of its own and is named in words.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "improved": ("var(--good)", "circle"),
    "regressed": ("var(--bad)", "diamond"),
    "better": ("var(--same)", "triangle-right"),
    "worse": ("var(--unsure)", "triangle-left"),
    "equivalent": ("var(--same)", "square"),
    "inconclusive": ("var(--unsure)", "triangle-up"),
    "incomparable": ("var(--muted)", "triangle-down"),
    "baseline": ("var(--ink)", "cross"),
}
#: Text stands out from the lines it crosses.
HALO: Final[Mapping[str, Any]] = {"stroke": "var(--card)", "strokeWidth": 4, "strokeJoin": "round"}
#: Differences carry their sign; no difference has none.
_SIGNED: Final = "datum.value == 0 ? '0' : format(datum.value, '+~g')"
Row = Mapping[str, Any]
Draw = Callable[[bool], Any]
#: What stands instead of a chart, None where charts are drawn.
_INSTEAD: Final[ContextVar[Markup | None]] = ContextVar("instead", default=None)
#: Where charts are kept instead of drawn: each with its alternative text; None where they are drawn.
_KEPT: Final[ContextVar[list[tuple[Draw, str]] | None]] = ContextVar("kept", default=None)


@contextmanager
def kept() -> Iterator[list[tuple[Draw, str]]]:
    """Draw nothing, but give the list to which each chart comes with its alternative text."""
    found: list[tuple[Draw, str]] = []
    token = _KEPT.set(found)
    try:
        yield found
    finally:
        _KEPT.reset(token)


@contextmanager
def undrawn(instead: Markup | None) -> Iterator[None]:
    """Let `instead` stand where a chart would; None draws charts as always."""
    token = _INSTEAD.set(instead)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def instead() -> Markup | None:
    """Return what stands where a chart would, None where charts are drawn: what is drawn need not be computed."""
    return _INSTEAD.get()


def figure(draw: Draw, *, alt: str) -> Markup:
    """Return one chart, drawn for both widths, or what stands instead (`undrawn`).

    Args:
        draw: returns the Altair chart; its argument is True for a wide page.
        alt: what the chart says, for those who cannot see it.
    """
    if (found := _KEPT.get()) is not None:
        found.append((draw, alt))
        return Markup("")
    undone = instead()
    if undone is not None:
        return undone
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # checking every part against Vega-Lite's schema takes longer than drawing it
        drawn = [(name, _svg(draw(wide), alt)) for name, wide in (("wide", True), ("narrow", False))]
    return Markup("").join(Markup('<div class="{}">{}</div>').format(name, image) for name, image in drawn)


def picture(draw: Draw, *, alt: str, title: str, note: str = "") -> str:
    """Return one chart as the SVG of a file of its own, on the ground of a card; colours are the names of the page's.

    Args:
        draw: as for `figure`.
        alt: as for `figure`.
        title: stands above it.
        note: stands below the title; "" for nothing.
    """
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        head = {"title": {"text": title, "subtitle": note, "subtitleColor": "var(--unsure)", "anchor": "start"}}
        return str(_svg(draw(True), alt, {"background": "var(--card)", "font": "sans-serif", "padding": 16}, head))


def _svg(
    chart: Any, alt: str, page: Mapping[str, Any] = _PAGE, more: Mapping[str, Any] = MappingProxyType({})
) -> Markup:
    spec = {**chart.to_dict(validate=False), **more}
    # Not by Altair's `configure`: each call of it copies the chart with all its rows.
    own = spec.get("config", {})
    spec["config"] = {**own, **{key: {**own.get(key, {}), **value} for key, value in _AXES_AND_MARKS.items()}, **page}
    return svg.image(spec, alt)


def axis_title(title: str, aside: str, wide: bool) -> str:
    """Return an axis' title.

    Args:
        title: what the axis is of.
        aside: stands behind it in brackets, but not on a phone, where it would widen the drawing; "" for nothing.
        wide: True for a wide page.
    """
    return f"{title} ({aside})" if wide and aside else title


def ticks(low: float, high: float) -> list[float]:
    """Return round tick values for a logarithmic axis: steps of 1-2-5, or even ones on a short one."""
    if high / low > 5:
        first = math.floor(math.log10(low))
        decades = math.floor(math.log10(high)) - first
        # Over many decades each has one label at most.
        each = range(first, min(first + decades, 307) + 1, max(1, decades // 8))
        steps = [d * 10.0**e for e in each for d in ((1, 2, 5) if decades < 12 else (1,))]
    else:
        raw = (high - low) / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * d for d in (1, 2, 5, 10) if unit * d >= raw)
        steps = [round(step * i, 12) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [value for value in steps if low <= value <= high]


def data(rows: Sequence[Row]) -> Any:
    """Return rows as the data of a chart."""
    import altair as alt

    # Text: Altair walks through lists and what is in them again and again while a chart is put together. Texts are made
    # readable here, for JSON hides a control character behind an escape, and stay as they are, for `_near` to see them.
    clean = [{key: readable(one) if isinstance(one, str) else one for key, one in row.items()} for row in rows]
    return alt.Data(values=json.dumps(clean, ensure_ascii=False), format=alt.DataFormat(type="json"))


def state(field: str) -> dict[str, Any]:
    """Return the colour and shape channels of a verdict."""
    import altair as alt

    names = list(STATES)
    colours, shapes = ([STATES[name][i] for name in names] for i in (0, 1))
    return {
        "color": alt.Color(f"{field}:N", legend=None).scale(domain=names, range=colours),
        "shape": alt.Shape(f"{field}:N", legend=None).scale(domain=names, range=shapes),
    }


def names(rows: Sequence[Row], wide: bool) -> tuple[Any, list[Any]]:
    """Return the y channel of a chart of rows, and the layers that write each row's name and value.

    They are marks and not axis labels so that every chart starts at the same left edge, whatever its names.
    """
    import altair as alt

    base, y = alt.Chart(data(rows)), alt.Y("variant:N", sort=None, axis=None)
    text: dict[str, Any] = {"color": "var(--ink)", "fontSize": 12.5 if wide else 12, **HALO}
    above: dict[str, Any] = {} if wide else {"baseline": "bottom", "dy": -8}
    higher = {**above, "dy": -24} if crowded(rows, wide) else above
    name = base.mark_text(align="left", limit=NAMES - 12 if wide else NARROW, **text, **higher)
    value = base.mark_text(align="left" if wide or higher is not above else "right", **text, **above)
    at = PLOT + 16 if wide else 0 if higher is not above else NARROW
    layers = [
        name.encode(x=alt.XValue(-NAMES if wide else 0), y=y, text=alt.Text("variant:N")),
        value.encode(x=alt.XValue(at), y=y, text=alt.Text("text:N")),
    ]
    return y, layers


def crowded(rows: Sequence[Row], wide: bool) -> bool:
    """Return True if, on a phone, a name and its value do not fit on one line: they then stand on two."""
    return not wide and any(CHARACTER * (len(row["variant"]) + len(row["text"]) + 3) > NARROW for row in rows)


def size_of(rows: Sequence[Row], wide: bool) -> dict[str, Any]:
    """Return the width and height, pixels, of a chart of rows."""
    height = 32 if wide else 64 if crowded(rows, wide) else 46
    return {"width": PLOT if wide else NARROW, "height": len(rows) * height}


def intervals(
    rows: Sequence[Row],
    *,
    title: str,
    aside: str = "",
    reference: float,
    band: tuple[float, float] | None = None,
    limit: float | None = None,
    log: bool = False,
) -> Draw:
    """Return a drawing of point and interval by row.

    Args:
        rows: variant, point, low, high, state, text, hover; in the units of the axis.
        title: of the axis.
        aside: as for `axis_title`.
        reference: where nothing changed.
        band: the changes too small to matter, shaded.
        limit: the worst change that is still allowed, dashed.
        log: for ratios.
    """
    marked = [reference, *(band or ()), *([] if limit is None else [limit])]
    edges = [float(row[end]) for row in rows for end in ("low", "high")] + marked
    ends = padded(min(edges), max(edges), log)

    def draw(wide: bool) -> Any:
        import altair as alt

        scale = alt.Scale(type="log" if log else "linear", domain=list(ends), nice=False)
        axis = alt.Axis(values=ticks(*ends), format="~g") if log else alt.Axis(tickCount=5, labelExpr=_SIGNED)
        x = alt.X("low:Q", scale=scale, axis=axis, title=axis_title(title, aside, wide))
        y, words = names(rows, wide)
        layers = [_shade(band).encode(x=x, x2=alt.X2("high:Q"))] if band else []
        layers.append(_guide(reference, "var(--rule)", scale, dash=False))
        layers += [] if limit is None else [_guide(limit, "var(--bad)", scale, dash=True)]
        base, shown = alt.Chart(data(rows)).encode(y=y), state("state")
        bar = base.mark_rule(strokeWidth=2.5, strokeCap="round")
        dot = base.mark_point(filled=True, size=90, opacity=1, aria=True)
        layers.append(bar.encode(x=x, x2=alt.X2("high:Q"), color=shown["color"]))
        layers.append(dot.encode(x=alt.X("point:Q", scale=scale), description=alt.Description("hover:N"), **shown))
        return alt.layer(*layers, *words).properties(**size_of(rows, wide))

    return draw


def _shade(band: tuple[float, float]) -> Any:
    import altair as alt

    return alt.Chart(data([{"low": band[0], "high": band[1]}])).mark_rect(color="var(--band)")


def _guide(value: float, colour: str, scale: Any, *, dash: bool) -> Any:
    import altair as alt

    mark = alt.Chart(data([{"at": value}])).mark_rule(
        color=colour, strokeWidth=1.5, strokeDash=[4, 3] if dash else [1, 0]
    )
    return mark.encode(x=alt.X("at:Q", scale=scale))


def padded(low: float, high: float, log: bool) -> tuple[float, float]:
    """Return an axis' domain with some room at both ends.

    Args:
        low: the smallest value.
        high: the largest value.
        log: for a logarithmic axis.
    """
    if log:
        room = 10 ** (0.06 * max(math.log10(high) - math.log10(low), math.log10(1.2)))
        return max(low / room, sys.float_info.min), min(high * room, sys.float_info.max)
    room = 0.08 * max(high - low, 1e-9)
    return low - room, high + room


def bars(rows: Sequence[Row], *, title: str, heading: str = "") -> Draw:
    """Return a drawing of one bar a row.

    Args:
        rows: variant, value (in the unit of `title`), state, text, hover.
        title: of the axis.
        heading: stands above the drawing; "" for none.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        base = alt.Chart(data(rows))
        y, words = names(rows, wide)
        bar = base.mark_bar(size=12, cornerRadiusEnd=2, opacity=0.9, aria=True)
        x = alt.X("value:Q", title=title, axis=alt.Axis(tickCount=5)).scale(zero=True)
        marks = bar.encode(x=x, y=y, color=state("state")["color"], description=alt.Description("hover:N"))
        chart = alt.layer(marks, *words).properties(**size_of(rows, wide))
        return chart.properties(title=heading) if heading else chart

    return draw


def stacked(rows: Sequence[Row], parts: Sequence[Row], *, title: str, aside: str = "") -> Draw:
    """Return a drawing of bars made of parts.

    Args:
        rows: variant, text: one a bar; with low and high (in the unit of `title`), a line spans them on the bar.
        parts: variant, part, order, value (in the unit of `title`), hover: one a piece, of at most `PARTS` kinds.
        title: of the axis.
        aside: as for `axis_title`.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        y, words = names(rows, wide)
        kinds = list(dict.fromkeys(str(part["part"]) for part in parts))
        colours = [f"var(--part-{number})" for number in range(1, PARTS + 1)][: len(kinds)]
        # Many parts stand in columns, because a row of their names is wider than the page.
        columns = (4 if wide else 2) if len(kinds) > FEW_PARTS else alt.Undefined
        legend = alt.Legend(
            title=None,
            orient="top",
            labelColor="var(--ink)",
            labelFontSize=12,
            symbolType="square",
            direction="horizontal",
            columns=columns,
        )
        marks = alt.Chart(data(parts)).mark_bar(size=14, aria=True).encode(
            x=alt.X("value:Q", title=axis_title(title, aside, wide), stack="zero", axis=alt.Axis(tickCount=5)),
            y=y,
            color=alt.Color("part:N", legend=legend, sort=None).scale(domain=kinds, range=colours),
            order=alt.Order("order:Q"),
            description=alt.Description("hover:N"),
        )  # fmt: skip
        spanned = [row for row in rows if "low" in row]
        lines = []
        if spanned:
            line = alt.Chart(data(spanned)).mark_rule(color="var(--ink)", strokeWidth=1.4)
            lines = [line.encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), y=y)]
            ends = alt.Chart(data(spanned)).mark_tick(color="var(--ink)", thickness=1.4, size=9, orient="vertical")
            lines += [ends.encode(x=alt.X(f"{end}:Q"), y=y) for end in ("low", "high")]
        return alt.layer(marks, *lines, *words).properties(**size_of(rows, wide))

    return draw
