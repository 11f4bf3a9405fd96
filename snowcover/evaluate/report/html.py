"""HTML without unescaped text: strings that are not `Html` are escaped when put into a tag. Pure."""

import base64
import re
from collections.abc import Iterable
from html import escape

PER_CENT = re.compile(r"(?<=\d) ?%")
VOID = frozenset({"img", "meta", "source"})  # tags without an end tag


class Html(str):
    """Markup, as opposed to text."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | int | None) -> Html:
    """`tag("p", "1 < 2", id="a")` -> `<p id="a">1 &lt; 2</p>`.

    Args:
        attributes: `class_` is class, other underscores are dashes; None leaves one out.
    """
    rendered = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
        if value is not None
    )  # fmt: skip
    return Html(f"<{name}{rendered}>" if name in VOID else f"<{name}{rendered}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """Concatenate pieces, each escaped unless it is markup."""
    return Html("".join(part if isinstance(part, Html) else escape(_unbroken(part)) for part in content))


def _unbroken(text: str) -> str:
    """Put a no-break space between a number and its per cent sign."""
    return PER_CENT.sub("\N{NO-BREAK SPACE}%", text)


def image_data(png: bytes) -> str:
    """An image as a data URI, so that the page is self-contained."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str) -> Html:
    """A table that scrolls horizontally if it is too wide; the first cell of each row is its heading."""
    headings = (tag("th", cell, scope="col") for cell in head)
    lines = (
        tag("tr", *(tag("td", cell) if number else tag("th", cell, scope="row") for number, cell in enumerate(row)))
        for row in rows
    )
    whole = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *headings)), tag("tbody", *lines)
    )  # fmt: skip
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)
