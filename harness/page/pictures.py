"""Every chart of a report as a picture of its own, from the drawing and the style sheet that the page has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from harness.page import charts
from harness.page.render import UNDRAWABLE, environment, sections, undrawable
from harness.page.report import Group, Report

#: The light theme: the first rule for the whole page.
_LIGHT: Final = re.compile(r":root\s*{([^}]*)}")
#: Pixels of a PNG for one of the drawing: sharp also in print.
_SCALE: Final = 2


def files(
    report: Report, *, overrides: Path, say: Callable[[str], None] | None = None
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the name, the SVG and the PNG of each chart of a report, in the order of the page.

    The name is that of the section, then the place, then a number: `ratio-pi5-onnxruntime-1.31.1-1`.

    Args:
        report: what was measured, compared and judged.
        overrides: the lab's reports/templates/, whose page.css has the colours if it is there.
        say: takes a sentence on each section or chart that could not be drawn; if None, it raises.
    """
    import vl_convert

    found = sections()
    known = environment(found, overrides if overrides.is_dir() else None)
    colours = light(known.get_template("page.css").render())
    numbers: Counter[str] = Counter()
    for name, section in found:
        try:
            with charts.kept() as drawings:
                section.context(report)
            for draw, alt in drawings:
                group = _group(report, alt)
                stem = _written(f"{name}-{group.title if group else 'all'}")
                note = "synthetic data: no patient and no scanner was involved" if group and group.synthetic else ""
                svg = coloured(charts.picture(draw, alt=alt, title=_title(alt, group), note=note), colours)
                png = vl_convert.svg_to_png(svg, scale=_SCALE)
                numbers[stem] += 1
                yield f"{stem}-{numbers[stem]}", svg.encode(), png
        except Exception as error:
            if say is None:
                raise
            say(UNDRAWABLE.format(undrawable(section, error)))


def light(css: str) -> Mapping[str, str]:
    """Return the light theme's names and what each stands for: `{"--ink": "#1a1e23"}`; empty where there is none."""
    rule = _LIGHT.search(css)
    return dict(re.findall(r"(--[\w-]+)\s*:\s*([^;]+?)\s*(?:;|$)", rule[1])) if rule else {}


def coloured(svg: str, colours: Mapping[str, str]) -> str:
    """Return an SVG that needs no style sheet: colours in place of its names, and texts that stand on their halo.

    Args:
        svg: of `charts.picture`.
        colours: as `light` returns them; what they lack becomes black.
    """
    own = svg.replace("<text ", '<text paint-order="stroke" ')
    return re.sub(r"var\((--[\w-]+)\)", lambda found: colours.get(found[1], "#000000"), own)


def _group(report: Report, alt: str) -> Group | None:
    """Return the group that a chart is of: the one whose title stands in what is said of it, the longest of several."""
    fitting = [group for group in report.groups() if group.title and group.title in alt]
    return max(fitting, key=lambda group: len(group.title), default=None)


def _title(alt: str, group: Group | None) -> str:
    """Return what stands above a chart: the beginning of what is said of it, up to its place."""
    if group is None:
        return alt.partition(". ")[0]
    return f"{alt.partition(group.title)[0]}{group.title}"


def _written(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
