"""Another program's error within a sentence of ours."""

from hypothesis import given
from hypothesis import strategies as st

from snowcover.errors import LINE_LENGTH, first_line


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=30), min_size=1, max_size=200))
def test_a_long_error_is_cut_between_two_words(words: list[str]) -> None:
    text = first_line(ValueError(" ".join(words)))
    whole = text.removesuffix(" ...").split(" ")
    assert whole == words[: len(whole)]
    assert len(text) <= LINE_LENGTH + 4
    assert text.endswith(" ...") == (len(whole) < len(words))


def test_only_the_first_line_is_reported_and_an_error_without_text_by_its_kind() -> None:
    assert first_line(ValueError("\n  database is locked\n[SQL: ...]")) == "database is locked"
    assert first_line(TimeoutError()) == "TimeoutError"
