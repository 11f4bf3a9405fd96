"""A pattern takes the names that the old regular expression took, and no others."""

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowcover.convert.folder_patterns import is_one_name, pattern_of

PARTS = st.sampled_from(["a", "7", "_", ".", ".*", "(.*)", ".+", r"\d", r"\d{2}", "[ab]", r"\.", "2018"])
NAMES = st.text("ab_.2701 8", max_size=8)


@pytest.mark.parametrize(
    ("regex", "pattern"),
    [
        (r"20180601_.*_tiled$", "20180601_*_tiled"),
        (r"2018042\d_.*_tiled", "2018042[0-9]_*_tiled*"),
        (r"(.*)20180330(.*)_AnalyticMS_SR_clip", "*20180330*_AnalyticMS_SR_clip*"),
        (r"ASO_3M_SD_USCASJ_20180601_tiles_02$", "ASO_3M_SD_USCASJ_20180601_tiles_02"),
        (r"^\d{8}_[0-9a-f].+", "[0-9]" * 8 + "_[0-9a-f]?*"),
    ],
)
def test_the_published_expressions_are_converted(regex: str, pattern: str) -> None:
    assert pattern_of(regex) == pattern


@given(st.lists(PARTS, max_size=5), st.booleans(), st.booleans(), NAMES)
def test_pattern_and_expression_match_the_same_names(parts: list[str], begins: bool, ends: bool, name: str) -> None:
    regex = "^" * begins + "".join(parts) + "$" * ends
    pattern = pattern_of(regex)
    assert pattern is not None
    assert fnmatch.fnmatchcase(name, pattern) == bool(re.match(regex, name))
    if is_one_name(pattern):
        assert fnmatch.fnmatchcase(pattern, pattern)


@pytest.mark.parametrize("regex", ["a|b", "a+", "(ab)*", r"\w", "a?", "(?:a)", "[^a]b", r"\d+", "x{1,3}", "(.*", "a$b"])
def test_an_expression_without_an_equivalent_pattern_gives_none(regex: str) -> None:
    assert pattern_of(regex) is None
