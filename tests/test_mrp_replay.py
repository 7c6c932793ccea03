"""The slider over a trace: what stands in the page without scripts, and what a browser makes of it."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import check_book, in_chromium
from playwright.sync_api import Page, sync_playwright

from prunebook.errors import BadValue
from prunebook.report import mrp_replay

WIDTHS = {"a": 4, "b": 8, "c <&>": 8}
TRACE = [
    {"layer": "b", "filters": [5, 0], "redundancy": 0.8, "communities": 2, "removed": 0.125},
    {"layer": "c <&>", "filters": [3], "redundancy": 2 / 3, "communities": 3, "removed": 0.3},
    {"layer": "b", "filters": [7], "redundancy": 0.5, "communities": 3, "removed": 0.50004},
]
SAID = [
    "Iteration 0 of 3: nothing has been removed.",
    "Iteration 1 of 3: b lost filters 5, 0. It has 6 of 8 left. Before, it had 2 communities, a redundancy of 0.800. "
    "Removed so far: 12.50 % of the MACs.",
    "Iteration 2 of 3: c <&> lost filter 3. It has 7 of 8 left. Before, it had 3 communities, a redundancy of 0.667. "
    "Removed so far: 30.00 % of the MACs.",
    "Iteration 3 of 3: b lost filter 7. It has 5 of 8 left. Before, it had 3 communities, a redundancy of 0.500. "
    "Removed so far: 50.00 % of the MACs.",
]


def slider(**given: Any) -> str:
    made = mrp_replay.slider(WIDTHS, TRACE, "a network", **given).data
    assert made is not None
    return made


def test_every_iteration_is_told_in_words() -> None:
    assert [mrp_replay.state(WIDTHS, TRACE, at) for at in range(4)] == SAID


def test_without_scripts_the_end_stands_there_and_no_control() -> None:
    page = slider()
    assert f"<output>{html.escape(SAID[3])}</output>" in page
    assert '<div class="controls" hidden>' in page
    bars = re.findall(r'<div( class="now")? style="height:([\d.]+)%"><i style="height:([\d.]+)%">', page)
    assert bars == [("", "50", "100"), (' class="now"', "100", "62.5"), ("", "100", "87.5")]


def test_it_asks_for_nothing_and_names_nothing() -> None:
    page = slider()
    assert not re.search(r"\bid=|https?:|url\(|\bsrc=|\bhref=|@import|fetch", page)


def test_what_is_counted_has_its_name() -> None:
    assert "of the parameters" in slider(counter="params")
    assert "of the parameters" in mrp_replay.state(WIDTHS, TRACE, 3, "params")


def test_an_iteration_takes_few_characters() -> None:
    steps = [
        {"layer": "b", "filters": [i % 999], "redundancy": 0.66, "communities": 21, "removed": i / 2000} for i in range(999)
    ]
    page = mrp_replay.slider({"a": 9, "b": 1000}, steps, "a network").data
    assert page is not None
    assert len(page) < 25 * len(steps)


@pytest.mark.parametrize(("widths", "steps", "words"), [
    (WIDTHS, [], "the number of iterations is 0"),
    ({"a": 4}, TRACE, "layer is 'b', but must be one of those whose widths are given"),
])  # fmt: skip
def test_nothing_to_replay_is_refused(widths: dict[str, int], steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        mrp_replay.slider(widths, steps, "a network")


# In a browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page with two sliders."""
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><html><body>{slider()}{slider()}</body></html>", encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=check_book.find_browser(), args=check_book.ARGUMENTS)
        page = browser.new_page()
        page.goto(file.as_uri())
        yield page
        browser.close()


@in_chromium
def test_keys_go_through_the_iterations_and_all_stands_in_words(page: Page) -> None:
    first, second = page.locator("input").all()
    told = page.locator("output")
    assert page.get_by_role("slider", name="Iteration", exact=True).count() == 2
    first.focus()
    for key, at in (("End", 3), ("ArrowLeft", 2), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert told.first.text_content() == SAID[at]
        assert first.get_attribute("aria-valuetext") == f"{at} of 3"
    assert second.input_value() == "3"
    assert told.last.text_content() == SAID[3]


@in_chromium
def test_bars_are_as_high_as_the_layers_are_wide_and_the_one_that_lost_is_marked(page: Page) -> None:
    heights = "bars => bars.slice(0, 3).map(bar => [bar.className, bar.firstChild.style.height, bar.title])"
    page.locator("button").first.click()
    assert page.locator(".bars div").evaluate_all(heights) == [
        ["", "100%", "a: 4 of 4"],
        ["", "75%", "b: 6 of 8"],
        ["now", "87.5%", "c <&>: 7 of 8"],
    ]
    page.locator("button").nth(1).click()
    assert page.locator("output").first.text_content() == SAID[3]


@in_chromium
def test_a_book_with_it_passes_the_check_of_its_pages(tmp_path: Path) -> None:
    widths = {f"layer {i}": 64 for i in range(60)}
    steps = [{"layer": "layer 7", "filters": [0], "redundancy": 0.5, "communities": 2, "removed": 0.1}]
    wide = mrp_replay.slider(widths, steps, "a deep network").data
    head = '<meta name="viewport" content="width=device-width">'
    (tmp_path / "index.html").write_text(f"<!doctype html><html><head>{head}</head><body>{slider()}{wide}</body></html>")
    assert check_book.check_sources(tmp_path) == []
    assert check_book.check_in_browser(tmp_path) == []
