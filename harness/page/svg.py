"""Vega-Lite's specification -> an SVG for a page: its texts readable, its ids its own, its marks with their values."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from markupsafe import Markup

from harness.page.wording import readable

_SVG: Final = "http://www.w3.org/2000/svg"
#: The first and last letter of the private use area; one that stands in a text is replaced as if it were far, too.
_PRIVATE: Final = (0xE000, 0xF8FF)
#: What the marks of a group have from it where they say nothing themselves (SVG 1.1, appendix M, "inherited").
_INHERITED: Final = (
    "fill", "fill-opacity", "font-family", "font-size", "font-style", "font-weight", "stroke", "stroke-dasharray",
    "stroke-linecap", "stroke-opacity", "stroke-width", "text-anchor",
)  # fmt: skip
#: A number with more decimals than a screen or a printer has places for.
_LONG: Final = re.compile(r"-?\d+\.\d{3,}")
_PLACED: Final = ("d", "transform", "x2", "y2")
_FAR: Final = re.compile(f"[{chr(_PRIVATE[0])}-{chr(_PRIVATE[1])}\U00010000-\U0010ffff]")


def image(spec: Mapping[str, Any], alt: str) -> Markup:
    """Return a drawing as one labelled image.

    Args:
        spec: Vega-Lite's specification.
        alt: what the drawing says, for those who cannot see it.
    """
    far: dict[str, str] = {}
    near = json.dumps(_near(spec, far))
    return Markup(_drawn(near, alt, tuple(far.items())))


@lru_cache(maxsize=256)
def _drawn(spec: str, alt: str, far: tuple[tuple[str, str], ...]) -> str:
    """Return a drawing; the same one, asked for again by `--charts` or by another page, is not drawn twice.

    Args:
        spec: Vega-Lite's specification as JSON.
        alt: as for `image`.
        far: letters beyond U+FFFF, and what stands for each in `spec`.
    """
    import vl_convert

    text = vl_convert.vegalite_to_svg(spec, vl_version="6.4", allowed_base_urls=[])
    for letter, placeholder in far:
        text = text.replace(placeholder, letter)
    return _image(text, alt)


def _near(part: Any, far: dict[str, str]) -> Any:
    """Return a part of a chart whose texts are readable and hold only what Vega counts as one letter each.

    Vega cuts a text that is too long also in the middle of a letter beyond U+FFFF (an emoji), and then fails.

    Args:
        part: of Vega-Lite's specification.
        far: letter -> what stands for it meanwhile, of the private use area; what is found is added.
    """
    if isinstance(part, str):
        return _FAR.sub(lambda found: far.setdefault(found[0], _placeholder(len(far))), readable(part))
    if isinstance(part, Mapping):
        return {_near(key, far): _near(item, far) for key, item in part.items()}
    return [_near(item, far) for item in part] if isinstance(part, list | tuple) else part


def _placeholder(number: int) -> str:
    return chr(_PRIVATE[0] + number) if number <= _PRIVATE[1] - _PRIVATE[0] else "\ufffd"


def _image(text: str, alt: str) -> str:
    """Return the SVG as one labelled image whose marks say their values when hovered, the same for the same data."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(_own_ids(text))
    for node in root.iter():
        label = node.attrib.pop("aria-label", "")
        for noise in ("role", "aria-roledescription", "aria-hidden"):
            node.attrib.pop(noise, None)
        if label and node.tag not in (f"{{{_SVG}}}g", f"{{{_SVG}}}svg"):
            ET.SubElement(node, f"{{{_SVG}}}title").text = label
        _shorten(node)
    root.set("role", "img")
    root.set("aria-label", alt)
    return ET.tostring(root, encoding="unicode")


def _shorten(node: ET.Element) -> None:
    """Round where a node stands to hundredths of a pixel, and say once of a group what all in it have alike."""
    for name in _PLACED:
        if name in node.attrib:
            node.attrib[name] = _LONG.sub(lambda found: f"{round(float(found[0]), 2) + 0:g}", node.attrib[name])
    marks = list(node)
    if len(marks) > 1 and node.tag == f"{{{_SVG}}}g":
        for name in _INHERITED:
            alike = {mark.get(name) for mark in marks}
            if name not in node.attrib and len(alike) == 1 and (value := marks[0].get(name)) is not None:
                node.set(name, value)
                for mark in marks:
                    del mark.attrib[name]


def _own_ids(text: str) -> str:
    """Return the SVG with ids of its own: Vega counts them through all drawings of a process."""
    found = list(dict.fromkeys(re.findall(r' id="([^"]+)"', text)))
    neutral = re.sub("|".join(map(re.escape, found)), "", text) if found else text
    prefix = "c" + hashlib.sha256(neutral.encode()).hexdigest()[:10]
    own = {old: f"{prefix}-{number}" for number, old in enumerate(found)}
    return re.sub(r'(?<= id=")[^"]+|(?<=url\(#)[^)]+', lambda match: own.get(match[0], match[0]), text)
