"""One self-contained page: summary, notes and facts, then one section per topic."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from snowcover.evaluate import selection as selecting
from snowcover.evaluate import words
from snowcover.evaluate.figures import Picture
from snowcover.evaluate.report import tables, text
from snowcover.evaluate.report.html import Html, image_data, join, tag
from snowcover.evaluate.results import Evaluation, Row
from snowcover.evaluate.selection import Selection, select

NOTHING_FROM_ELSEWHERE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
NARROW = "(max-width: 640px)"
SIDE_BY_SIDE = frozenset({"scores", "depth", "probabilities", "snow_line", "thresholds"})  # one table and one figure


@dataclass(frozen=True)
class Section:
    """A section of the page; without figures and tables it is left out."""

    id: str
    """its anchor, and the section of its figures"""
    heading: str
    lead: str
    tables: Callable[[Selection], Html]


def _nothing(selection: Selection) -> Html:
    return Html()


SECTIONS = (
    Section("maps", "Maps", "Each product next to the reference, and where they differ.", _nothing),
    Section(
        "scores", "Scores", "How well map and reference agree, pixel by pixel. Below each score is its 95 % interval.",
        lambda selection: _scores(selection),
    ),
    Section(
        "differences", "Differences between products",
        "Is one product better than another? If the interval does not contain 0, it is.",
        lambda selection: tables.differences(selection, [*words.SCORES, *words.PROBABILITY_SCORES]),
    ),
    Section("strata", "By kind of ground", "Where the maps are good, and where they are not.", lambda s: _strata(s)),
    Section(
        "depth", "Shallow snow", "How much of the snow is found depends on its depth.",
        lambda selection: _by_bin(selection, selection.recall_by_depth()),
    ),
    Section(
        "fractions", "Fractional snow cover", "The share of snow in larger cells, as in products of coarser sensors; "
        "cells observed to at least 80 %.", tables.by_cell,
    ),
    Section(
        "probabilities", "Probabilities", "For products that give a probability of snow: how well it ranks pixels, and "
        "whether it is calibrated.",
        lambda selection: tables.by_product(selection, words.PROBABILITY_SCORES, "Scores of probabilities"),
    ),
    Section(
        "snow_line", "Snow line", "The elevation at which half of the ground is snow.",
        lambda selection: _snow_lines(selection),
    ),
    Section(
        "area", "Area of snow", "On the ground that was compared; and of whole maps, which may reach beyond it.",
        lambda selection: join([
            tables.by_product(selection, words.AREAS, "Area of snow in km²"),
            tables.by_product(selection, words.AREAS, "Area of snow in whole maps, in km²", pixels_of="own"),
        ]),
    ),
    Section(
        "thresholds", "Depth that counts as snow", "How much the score depends on the threshold of the reference.",
        tables.by_threshold,
    ),
)  # fmt: skip


def render(evaluation: Evaluation, pictures: Sequence[Picture]) -> str:
    """The whole page; it needs no other file and runs no script."""
    selection = select(evaluation)
    sections = [(section, content) for section in SECTIONS if (content := _content(section, selection, pictures))]
    title = text.title(selection)
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=NOTHING_FROM_ELSEWHERE), tag("title", title),
        tag("style", Html(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))),
    )  # fmt: skip
    main = tag(
        "main", _top(selection, title), _contents(sections),
        *(_section(section.id, section.heading, section.lead, content) for section, content in sections),
        _section("methods", "How this was counted", "", _paragraphs(text.methods(selection))),
        _section("words", "What the words mean", "", _glossary(selection)),
    )  # fmt: skip
    return f"<!doctype html>\n{tag('html', head, tag('body', main), lang='en')}\n"


def _top(selection: Selection, title: str) -> Html:
    evaluation = selection.evaluation
    where = words.GROUND[selection.ground]
    lead = tag("p", f"Scores on {where}, with 95 % intervals in brackets:", class_="lead")
    found = tag("ul", *(tag("li", sentence) for sentence in text.summary(selection)), class_="summary")
    notes = tag("ul", *(tag("li", note) for note in evaluation.notes))
    warnings = (
        tag("aside", tag("h2", "Read this first", id="notes"), notes, class_="notes") if evaluation.notes else Html()
    )
    facts = join(tag("div", tag("dt", name), tag("dd", value)) for name, value in evaluation.facts.items())
    return tag("header", tag("h1", title), lead, found, warnings, tag("dl", facts, class_="facts"))


def _contents(sections: Sequence[tuple[Section, Html]]) -> Html:
    named = [*((section.id, section.heading) for section, _ in sections), ("methods", "How this was counted")]
    links = (tag("li", tag("a", heading, href=f"#{anchor}")) for anchor, heading in (*named, ("words", "Words")))
    return tag("nav", tag("ul", *links), aria_label="Contents")


def _section(anchor: str, heading: str, lead: str, content: Html) -> Html:
    link = tag("a", "#", href=f"#{anchor}", class_="anchor", aria_label=f"Link to {heading}")
    introduction = tag("p", lead, class_="lead") if lead else Html()
    return tag("section", tag("h2", heading, " ", link), introduction, content, id=anchor)


def _content(section: Section, selection: Selection, pictures: Sequence[Picture]) -> Html:
    figures = [_figure(picture) for picture in pictures if picture.section == section.id]
    shown = tag("div", *figures, class_=f"figures {section.id}") if figures else Html()
    found = section.tables(selection)
    if section.id in SIDE_BY_SIDE and figures and found:
        return tag("div", found, shown, class_="side-by-side")
    return join([shown, found] if section.id == "strata" else [found, shown])


def _figure(picture: Picture) -> Html:
    image = tag(
        "img", src=image_data(picture.png), width=picture.width_px, height=picture.height_px, alt=picture.caption,
        style=f"max-width: {picture.width_px}px",
    )  # fmt: skip
    if picture.narrow_png is not None:
        image = tag("picture", tag("source", media=NARROW, srcset=image_data(picture.narrow_png)), image)
    return tag("figure", tag("h3", picture.title), image, tag("figcaption", picture.caption))


def _scores(selection: Selection) -> Html:
    main = tables.by_product(selection, words.SCORES, f"Scores on {words.GROUND[selection.ground]}, on the same pixels")
    if not main:
        return main
    own = tables.by_product(selection, words.SCORES, "Scores on each product's own pixels", pixels_of="own")
    ground = tables.by_ground(selection)
    return tag(
        "div", main, _folded("The same on trained and unseen ground", ground),
        _folded("Each product on all pixels that it observed", own),
    )  # fmt: skip


def _strata(selection: Selection) -> Html:
    found = selecting.strata(selection.evaluation)
    named = {name: _by_bin(selection, selection.rows("iou", stratum=name)) for name in found if name != "snow_depth"}
    return join(_folded(f"IoU by {words.stratum(name).lower()}, as a table", own) for name, own in named.items())


def _snow_lines(selection: Selection) -> Html:
    """Snow lines of all ground and by aspect, and the difference of each product from the reference."""
    lines = _by_bin(selection, selection.snow_lines())
    higher = _by_bin(selection, selection.snow_lines(versus=words.REFERENCE))
    return tag("div", lines, _folded("Metres above the snow line of the reference", higher)) if lines else lines


def _by_bin(selection: Selection, rows: Iterable[Row]) -> Html:
    listed = list(rows)
    named = {row.product for row in listed if row.value is not None}
    products = [name for name in (words.REFERENCE, *selection.evaluation.products) if name in named]
    return tables.by_bin(listed, products) if products else Html()


def _folded(heading: str, content: Html) -> Html:
    return tag("details", tag("summary", heading), content) if content else Html()


def _paragraphs(sentences: Iterator[str]) -> Html:
    return join(tag("p", sentence) for sentence in sentences)


def _glossary(selection: Selection) -> Html:
    shown = {row.quantity for row in selection.evaluation.rows if row.value is not None}
    named = [(about.name, about.meaning) for name, about in words.QUANTITIES.items() if name in shown and about.meaning]
    both = (
        ("Reference", "What the maps are scored against: lidar snow depth, or a mask of snow."),
        ("Product", "A map that is evaluated."),
    )
    entries = join(tag("div", tag("dt", name), tag("dd", meaning)) for name, meaning in (*both, *named))
    return tag("dl", entries, class_="facts")
