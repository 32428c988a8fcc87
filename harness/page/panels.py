"""Panels: a square for each model, with its curves and points, both axes in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness.page.charts import Draw, Row, data, state
from harness.page.plots import PERCENTS, pixels

#: Of panels: how many stand side by side, the side of one, and the room to the left of it and above it, pixels.
_PANELS: Final[Mapping[bool, tuple[int, int, int, int]]] = {True: (4, 186, 66, 92), False: (1, 190, 110, 92)}


def panels(rows: Sequence[Row], lines: Sequence[Row], points: Sequence[Row], *, x_title: str, y_title: str) -> Draw:
    """Return a drawing of one square a row, both axes from 0 to 100 %, with its lines and points.

    Args:
        rows: variant, text (below it in the title), state.
        lines: variant, kind ("own", "baseline" or "chance"), x, y, order (of the points of a line).
        points: variant, x, y, low and high (of y), hover; with x_low and x_high also an interval of x.
        x_title: of the horizontal axis.
        y_title: of the vertical axis.
    """

    def draw(wide: bool) -> Any:
        import altair as alt

        # In pixels, as one chart: a chart for each panel takes more than three times as long to draw.
        columns, side, beside, above = _PANELS[wide]
        states = {row["variant"]: row["state"] for row in rows}
        corners = {
            row["variant"]: (i % columns * (side + beside), i // columns * (side + above)) for i, row in enumerate(rows)
        }

        def across(name: str, value: float) -> float:
            return round(float(corners[name][0] + value / 100 * side), 1)

        def up(name: str, value: float) -> float:
            return round(float(corners[name][1] + side - value / 100 * side), 1)

        def at(one: Row, fields: tuple[str, str] = ("x", "y")) -> Row:
            return {"x": across(one["variant"], one[fields[0]]), "y": up(one["variant"], one[fields[1]])}

        x, y, x2, y2 = pixels("x", alt.X), pixels("y"), alt.X2("x2:Q"), alt.Y2("y2:Q")
        grid, numbers, titles = [], [], []
        for name, (left, top) in corners.items():
            for value in PERCENTS:
                px, py = across(name, value), up(name, value)
                grid += [{"x": px, "y": top, "x2": px, "y2": top + side}]
                grid += [{"x": left, "y": py, "x2": left + side, "y2": py}]
                numbers += [{"x": px, "y": top + side + 12, "text": str(value), "align": "center"}]
                numbers += [{"x": left - 6, "y": py, "text": str(value), "align": "right"}]
            numbers.append({"x": left + side / 2, "y": top + side + 29, "text": x_title, "align": "center"})
            titles.append({"x": left - 38, "y": top + side / 2, "text": y_title})
        base = alt.Chart(data(grid)).mark_rule(color="var(--grid)")
        small: dict[str, Any] = {"color": "var(--muted)", "fontSize": 11.5 if wide else 10.5}
        layers = [base.encode(x=x, y=y, x2=x2, y2=y2)]
        layers.append(_words(numbers, align=alt.expr("datum.align"), baseline="middle", **small))
        layers.append(_words(titles, angle=270, baseline="middle", **small))
        heads = [{"x": px, "y": py - 27, "text": name} for name, (px, py) in corners.items()]
        layers.append(
            _words(heads, align="left", color="var(--ink)", fontSize=12.5 if wide else 12, limit=side + beside - 10)
        )
        heads = [
            {"x": corners[row["variant"]][0], "y": corners[row["variant"]][1] - 11, "text": row["text"]} for row in rows
        ]
        layers.append(_words(heads, align="left", limit=side + beside, **small))
        for kind, colour, dash in (
            ("chance", "var(--muted)", [1, 3]),
            ("baseline", "var(--ink)", [5, 4]),
            ("own", "", [1, 0]),
        ):
            path = [
                {**at(one), "state": states[one["variant"]], "variant": one["variant"], "order": one["order"]}
                for one in lines
                if one["kind"] == kind
            ]
            if path:
                mark = alt.Chart(data(path)).mark_line(strokeDash=dash, strokeWidth=1.6)
                shown = alt.ColorValue(colour) if colour else state("state")["color"]
                layers.append(mark.encode(x=x, y=y, color=shown, detail="variant:N", order=alt.Order("order:Q")))
        bars, dots = [], []
        for one in points:
            own = {"state": states[one["variant"]]}
            dots.append({**at(one), **own, "hover": one["hover"]})
            spans = [(("x", "low"), ("x", "high")), *([(("x_low", "y"), ("x_high", "y"))] if "x_low" in one else [])]
            for low, high in spans:
                end = at(one, high)
                bars.append({**at(one, low), "x2": end["x"], "y2": end["y"], **own})
        bar = alt.Chart(data(bars)).mark_rule(strokeWidth=1.6)
        layers.append(bar.encode(x=x, y=y, x2=x2, y2=y2, color=state("state")["color"]))
        dot = alt.Chart(data(dots)).mark_point(filled=True, size=70, opacity=1, aria=True)
        layers.append(dot.encode(x=x, y=y, description=alt.Description("hover:N"), **state("state")))
        last = (len(rows) - 1) // columns
        size = {
            "width": min(columns, len(rows)) * (side + beside) - beside,
            "height": (last + 1) * (side + above) - above,
        }
        return alt.layer(*layers).properties(**size)

    return draw


def _words(rows: Sequence[Row], **look: Any) -> Any:
    import altair as alt

    return alt.Chart(data(rows)).mark_text(**look).encode(x=pixels("x", alt.X), y=pixels("y"), text=alt.Text("text:N"))
