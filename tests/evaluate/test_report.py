"""The report: one page that needs nothing else, says what was found in sentences, and escapes everything."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from snowcover.evaluate.figures import Picture
from snowcover.evaluate.report import render
from snowcover.evaluate.report.html import VOID, Html, tag
from snowcover.evaluate.report.text import listed, summary
from snowcover.evaluate.results import Evaluation, Row
from snowcover.evaluate.selection import select
from tests.evaluate.example import example, small


class Page(HTMLParser):
    """What a page is made of; fails where a tag is not closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for tag, attrs in self.found if tag == name and attribute in attrs]


@pytest.fixture(scope="module")
def page(pictures: list[Picture]) -> Page:
    return Page(render(small(), pictures))


def test_the_page_needs_no_other_file_and_runs_no_script(page: Page) -> None:
    assert not [tag for tag, _ in page.found if tag in ("script", "link", "iframe", "object")]
    addresses = page.attributes("img", "src") + page.attributes("source", "srcset")
    assert len(addresses) == 12
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert all(address.startswith("#") for address in page.attributes("a", "href"))


def test_each_link_leads_to_a_section_of_the_page(page: Page) -> None:
    anchors = page.attributes("section", "id")
    assert anchors == [
        "maps", "scores", "differences", "strata", "depth", "fractions", "probabilities", "snow_line", "area",
        "thresholds", "methods", "words",
    ]  # fmt: skip
    assert {link.removeprefix("#") for link in page.attributes("a", "href")} == set(anchors)


def test_each_picture_says_what_it_shows(page: Page) -> None:
    assert all(len(alt) > 40 for alt in page.attributes("img", "alt"))


def test_scores_have_intervals_and_facts_and_notes_come_first(page: Page) -> None:
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "0.8420.821 to 0.859" in text
    assert text.index("7 days before the reference") < text.index("Each product next to")
    assert text.index("block bootstrap: 62 blocks") < text.index("Each product next to")
    assert "8,412,337" in text
    assert "all aspects2,9042,895 to 2,913" in text
    assert "all aspects7\N{MINUS SIGN}4 to 21" in text  # metres above the reference's


def test_whatever_a_name_or_note_holds_is_shown_as_text(pictures: list[Picture]) -> None:
    bad = "<script>alert('a')</script> & \"b\""
    rows = tuple(replace(row, product=bad if row.product == "network" else row.product) for row in small().rows)
    named = replace(small(), products=(bad, "forest"), rows=rows, notes=(bad,), facts={bad: bad})
    pictures = [replace(picture, title=bad, caption=bad) for picture in pictures[:1]]
    page = Page(render(named, pictures))
    assert "script" not in {tag for tag, _ in page.found}
    assert page.text.count(bad) > 8
    assert page.attributes("img", "alt") == [bad]


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "1 < 2", Html("<b>"), class_="a", title='"') == '<p class="a" title="&quot;">1 &lt; 2<b></p>'


def test_an_evaluation_without_any_score_still_gives_a_page() -> None:
    page = Page(render(Evaluation(("map",), (Row("map", "iou", None),), {}, ()), []))
    assert page.attributes("section", "id") == ["methods", "words"]
    assert "no IoU" in page.text


def test_the_summary_names_the_better_product_only_if_the_interval_allows_it() -> None:
    def difference(value: float, low: float, high: float) -> str:
        rows = (Row("a", "iou", 0.5), Row("a", "iou", value, low, high, versus="b"))
        return list(summary(select(Evaluation(("a", "b"), rows, {}, ()))))[-1]

    assert (
        difference(0.1, 0.05, 0.12)
        == "a is better than b: its IoU is higher by 0.100 (0.050 to 0.120) on the same pixels."
    )
    assert difference(-0.1, -0.12, -0.05).startswith("b is better than a: its IoU is higher by 0.100 (0.050 to 0.120)")
    undecided = "a and b do not differ significantly in IoU: the difference is 0.000 ("
    assert difference(0.0, -0.01, 0.01).startswith(undecided)


def test_names_are_listed_with_commas_and_and() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_recall_is_given_only_for_depths_that_are_snow() -> None:
    shown = [row.bin for row in select(example()).recall_by_depth() if row.product == "network"]
    assert shown == ["0.1-0.2 m", "0.2-0.5 m", "0.5-1 m", "1 m or more"]


def test_main_scores_are_those_of_unseen_ground_at_the_first_threshold() -> None:
    selection = select(example())
    assert (selection.ground, selection.depth_threshold_m) == ("unseen", 0.1)
    row = selection.row("iou", "network")
    assert row is not None and row.value == pytest.approx(0.842)
    all_ground = tuple(row for row in example().rows if row.ground == "all")
    assert select(replace(example(), rows=all_ground)).ground == "all"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_on_a_screen(
    width: int, pictures: list[Picture], tmp_path: Path, browser: webdriver.Chrome
) -> None:
    (tmp_path / "report.html").write_text(render(small(), pictures), encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        images = browser.find_elements(By.TAG_NAME, "img")
        assert all(image.get_property("naturalWidth") for image in images)
        assert all(image.rect["x"] + image.rect["width"] <= width for image in images)
        source = images[0].get_property("currentSrc")
        assert (source == images[0].get_attribute("src")) == (width > 640)
        assert re.match(r"Snow map evaluation: network and forest", browser.title)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
