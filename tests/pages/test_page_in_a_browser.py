"""The report, opened in a real browser: nothing is fetched, nothing complains, every chart is there to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from harness import page
from tests.pages import stored_runs

Scheme = Literal["light", "dark"]
#: Section -> charts in it for the two runtimes of the stored runs.
CHARTS = {"tradeoff": 2, "latency": 4, "operating": 4, "ratio": 2, "memory": 4, "cold": 2, "accuracy": 4}


@contextmanager
def opened(
    browser: Browser, file: Path, *, width: int = 1280, scheme: Scheme = "light", fragment: str = ""
) -> Iterator[Page]:
    """Open a file and fail, when done with it, on anything the browser complained of or fetched.

    Args:
        browser: which.
        file: what to open.
        width: of the window; the sections that are folded on a phone are opened.
        scheme: light or dark.
        fragment: what stands behind the address, with its `#`.
    """
    troubles: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.on("console", lambda message: troubles.append(f"console {message.type}: {message.text}"))
    tab.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    tab.on(
        "request", lambda request: troubles.append(f"request: {request.url}") if request.url != file.as_uri() else None
    )
    tab.goto(file.as_uri() + fragment)
    for fold in tab.locator(".fold").all():
        fold.click()
    try:
        yield tab
    finally:
        tab.close()
    assert set(troubles) - {f"request: {file.as_uri()}", "request: data:,"} == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_fetched_and_nothing_overflows(browser: Browser, file: Path, width: int, scheme: Scheme) -> None:
    with opened(browser, file, width=width, scheme=scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("h1").is_visible()
        assert tab.locator(".sentence").is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_every_chart_has_marks_and_a_size_and_a_name(browser: Browser, file: Path, width: int) -> None:
    with opened(browser, file, width=width) as tab:
        for section, number in CHARTS.items():
            charts = tab.locator(f"#{section} svg:visible")
            assert charts.count() == number, section
            for chart in charts.all():
                box = chart.bounding_box()
                assert box is not None, section
                assert min(box["width"] / 200, box["height"] / 40) > 1, section
                assert chart.locator("[class*='mark-'] path, [class*='mark-'] line").count() > 3, section
                assert len(chart.get_attribute("aria-label") or "") > 40, section


def test_no_name_is_cut_short_on_a_phone(browser: Browser, file: Path) -> None:
    with opened(browser, file, width=390) as tab:
        for section in ("ratio", "memory", "cold", "accuracy"):
            texts = tab.locator(f"#{section} .narrow svg text").all_text_contents()
            assert "resnet18-pruned-magnitude" in texts, section
            assert not any("…" in text for text in texts), section


def test_marks_say_their_values_when_hovered(browser: Browser, file: Path) -> None:
    with opened(browser, file) as tab:
        said = tab.locator("#ratio .wide title").all_text_contents()
        assert any(text.startswith("resnet18-int8: 0.4") for text in said)


def test_dark_and_light_have_colours_of_their_own_in_charts_too(browser: Browser, file: Path) -> None:
    seen = {}
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    for scheme in schemes:
        with opened(browser, file, scheme=scheme) as tab:
            paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            text = tab.evaluate("getComputedStyle(document.querySelector('#ratio .wide svg text')).fill")
            seen[scheme] = (paper, text)
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_enough_to_be_read(browser: Browser, file: Path, scheme: Scheme) -> None:
    with opened(browser, file, scheme=scheme) as tab:
        found = tab.evaluate(CONTRASTS)
    assert len(found) > 200
    assert {text: ratio for text, ratio in found if ratio < 4.5} == {}


def test_print_uses_the_light_colours_and_all_of_the_width(browser: Browser, file: Path) -> None:
    with opened(browser, file, width=700, scheme="dark") as tab:
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.evaluate("document.documentElement.scrollWidth") <= 700
        assert tab.locator("#summary thead").first.is_visible()
        assert tab.locator(".signature").is_visible()


def test_of_many_places_each_is_a_line_that_opens_and_print_shows_all(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "many.html"
    target.write_bytes(page.render(stored_runs.on_devices(stored_runs.report(), *"abcdef")))
    height = "document.documentElement.scrollHeight"
    with opened(browser, file) as few, opened(browser, target) as many:
        assert few.locator("details.place").count() == 0
        assert many.evaluate(height) < 2 * few.evaluate(height), "fourteen places, each with eleven sections"
        assert many.locator("#summary table:visible").count() == 2, "the two where a case failed are open"
        chart = many.locator("#latency svg:visible")
        assert chart.count() == 0
        many.locator("#latency details.place > summary").nth(13).click()
        assert chart.count() == 2
        many.emulate_media(media="print")
        assert chart.count() == 28
        assert many.locator("#conditions .facts").last.is_visible()


def test_a_hostile_name_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    hostile = "\"><img src=x onerror=alert(1)><script>document.title='owned'</script>"
    target = tmp_path / "hostile.html"
    target.write_bytes(page.render(stored_runs.report(renamed={"resnet18-int8": hostile})))
    with opened(browser, target) as tab:
        assert "owned" not in tab.title()
        assert tab.locator("img").count() == 0
        assert tab.locator("script").count() == 1, "the page's own"
        assert hostile in (tab.locator(".sentence").text_content() or "")


#: [text, ratio] by WCAG 2's formula for every element that holds text itself, over the opaque background behind it.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const behind = node => { const layers = [];
    for (let at = node; at; at = at.parentElement) { const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour); if (colour[3] === 1) break; }
    return layers.reverse().reduce((under, [r, g, b, a]) =>
      [r, g, b].map((v, i) => v * a + (under[i] ?? 255) * (1 - a)), [255, 255, 255]); };
  return [...document.querySelectorAll('main *, header *, footer *')]
    .filter(node => [...node.childNodes].some(one => one.nodeType === 3 && one.data.trim()) && node.checkVisibility()
      && !['STYLE', 'TITLE', 'title'].includes(node.tagName))
    .map(node => { const style = getComputedStyle(node);
      const text = rgba(node.tagName === 'text' ? style.fill : style.color), paper = behind(node);
      const opacity = Number(style.opacity);
      const mixed = text.slice(0, 3).map((v, i) => v * opacity + paper[i] * (1 - opacity));
      const [a, b] = [light(mixed), light(paper)].sort((p, q) => q - p);
      return [node.textContent.trim().slice(0, 60), (a + 0.05) / (b + 0.05)]; });
}"""
