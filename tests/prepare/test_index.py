import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowcover.data.index import BadIndex, Entry, Index, Origin, from_json

ENTRIES = st.builds(
    Entry,
    path=st.builds("{}/{}/{}.tif".format, st.just(15), st.integers(0, 2**15 - 1), st.integers(0, 2**15 - 1)),
    size_bytes=st.integers(0, 2**40),
    crc32=st.integers(0, 2**32 - 1),
    observed_px=st.integers(0, 2**18),
    snow_px=st.none() | st.integers(0, 2**18),
)
INDEXES = st.builds(
    Index,
    kind=st.sampled_from(["scene", "collect"]),
    complete=st.booleans(),
    source=st.builds(Origin, name=st.text(), size_bytes=st.integers(0), crc32=st.integers(0)),
    settings=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()),
    tiles=st.lists(ENTRIES, max_size=5).map(tuple),
    files=st.dictionaries(st.text(), st.integers(0, 2**40), max_size=3),
)


@given(INDEXES)
def test_an_index_is_read_as_it_was_written(index: Index) -> None:
    assert from_json(index.to_json(), "tiles.json") == index


def test_the_digest_depends_on_settings_and_sources_but_not_on_tiles() -> None:
    index = Index(
        kind="scene", complete=False, source=Origin(name="a.tif", size_bytes=1, crc32=1), settings={"zoom": 15}
    )
    entry = Entry(path="15/1/2.tif", size_bytes=1, crc32=1, observed_px=1)
    assert index.model_copy(update={"tiles": (entry,), "complete": True}).digest == index.digest
    assert index.model_copy(update={"settings": {"zoom": 14}}).digest != index.digest
    assert index.model_copy(update={"source": Origin(name="a.tif", size_bytes=2, crc32=1)}).digest != index.digest
    assert index.model_copy(update={"source": Origin(name="a.tif", size_bytes=1, crc32=2)}).digest != index.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{", "["), "not an index"),
        (('"zoom": 15', '"zoom": 14'), "changed by hand"),
        (("15/1/2.tif", "../../2.tif"), "is no z/x/y.tif"),
        (("15/1/2.tif", "../other/15/1/2.tif"), "is no z/x/y.tif"),
        (('"size_bytes":1', '"size_bytes":"1"'), "size_bytes"),
        (('"complete"', '"finished"'), "complete"),
        (('"version": 2', '"version": 1'), "version.*overwrite=true"),
    ],
)
def test_a_damaged_index_is_refused_by_name(change: tuple[str, str], message: str) -> None:
    entry = Entry(path="15/1/2.tif", size_bytes=1, crc32=1, observed_px=1)
    source = Origin(name="a.tif", size_bytes=1, crc32=1)
    text = Index(kind="scene", complete=True, source=source, settings={"zoom": 15}, tiles=(entry,)).to_json()
    assert change[0] in text
    with pytest.raises(BadIndex, match=message) as caught:
        from_json(text.replace(*change), "s3://b/scene/tiles.json")
    assert "s3://b/scene/tiles.json" in str(caught.value)
