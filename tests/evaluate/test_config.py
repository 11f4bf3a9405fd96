"""What a user may ask of an evaluation, and what is refused before anything is read."""

import hydra
import pytest

from snowcover.cli import without_nodes
from snowcover.config_root import config_root
from snowcover.evaluate.config import Config
from snowcover.validation import ConfigError, check


def config(*overrides: str) -> Config:
    with hydra.initialize_config_dir(str(config_root("evaluate")), version_base="1.3"):
        return check(Config, without_nodes(hydra.compose("evaluate", ["out=report", *overrides]), "hydra"))


MAPS = ("maps=maps/*.tif", "reference=depth.tif")


@pytest.mark.parametrize(
    ("maps", "found"),
    [
        ("maps=maps/*_snow.tif", "maps/*_snow.tif"),
        ("maps=[a.tif,b.tif]", ["a.tif", "b.tif"]),
        ("maps={network: maps/*_probability.tif, landsat: [a.tif,b.tif]}",
         {"network": "maps/*_probability.tif", "landsat": ["a.tif", "b.tif"]}),
    ],
)  # fmt: skip
def test_maps_are_a_pattern_a_list_or_named(maps: str, found: object) -> None:
    assert config(maps, "reference=depth.tif").maps == found


def test_one_depth_threshold_or_several() -> None:
    assert config(*MAPS).thresholds_m == (0.1,)
    assert config(*MAPS, "depth_threshold_m=[0.1,0.05,0.2]").thresholds_m == (0.1, 0.05, 0.2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "give maps=FILES with reference=FILE, or run=RUN, or compare=[RUN,RUN]: none of them is given"),
        ((*MAPS, "run=abc"), "maps and run are given"),
        (("maps=a.tif",), "maps need a reference to be scored against"),
        (("run=abc", "reference=depth.tif"), "reference=depth.tif is for maps"),
        (("compare=[a,b]", "elevation=dem.tif"), "elevation=dem.tif is for maps: a run is scored on its own tiles"),
        ((*MAPS, "depth_threshold_m=[0.1,40]"), "depth_threshold_m=40 must lie between"),
        ((*MAPS, "depth_threshold_m=[0.1,0.1]"), "names a depth twice"),
        ((*MAPS, "acquired=yesterday"), "yesterday is not an ISO 8601 time"),
        (("compare=[a]",), "at least 2 items"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_message(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(*overrides)
    assert message in str(error.value)
