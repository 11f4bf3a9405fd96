"""The MLflow run of a command that maps: kind "prediction". Whatever MLflow cannot do costs no map."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from snowcover import storage
from snowcover.errors import first_line
from snowcover.nested import flat
from snowcover.predict import table
from snowcover.predict.config import Config
from snowcover.predict.table import CompleteMap
from snowcover.tracking import CannotRecord, Recorder, recorded
from snowcover.trained_model import TrainedModel

log = logging.getLogger(__name__)

EXPERIMENT = "snowcover"  # of networks that say none
TABLE = "maps.csv"


class MapRecord:
    """What MLflow is told of the maps; nothing once it has failed."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    def params(self, values: Mapping[str, Any]) -> None:
        """Tell the command's parameters."""
        self._tell(lambda recorder: recorder.params(values))

    def map_made(self, number: int, made: CompleteMap, preview: Path) -> None:
        """Args: preview: a file named for the map."""
        totals = made.totals
        shares = {} if totals.snow_share is None else {"snow_share": totals.snow_share}
        areas = {"observed_km2": totals.observed_km2, "snow_km2": totals.snow_km2, "seconds": made.seconds or 0.0}
        self._tell(lambda recorder: recorder.metrics([(number, {**areas, **shares})]))
        self._tell(lambda recorder: recorder.artifact(preview, "previews"))

    def all_made(self, made: Sequence[CompleteMap], scratch: Path) -> None:
        """Tell of all maps together: their table, as an artifact. It is written to `scratch` first."""
        path = scratch / TABLE
        storage.write(str(path), table.as_csv(made).encode())
        self._tell(lambda recorder: recorder.artifact(path))

    def _tell(self, tell: Callable[[Recorder], None]) -> None:
        if self.recorder is None:
            return
        try:
            tell(self.recorder)
        except CannotRecord as error:
            self.recorder = None
            _warn(error)


@contextmanager
def recording(config: Config, models: Sequence[TrainedModel]) -> Iterator[MapRecord]:
    """Within the block a run of the training's experiment is open; it ends FINISHED, FAILED or KILLED as the block."""
    record = MapRecord()
    run = recorded(
        config.tracking.uri, _experiment(config, models), f"maps in {config.out}", config.tracking.system_metrics,
        tags=_tags(config, models),
    )  # fmt: skip
    try:
        record.recorder = run.__enter__()
    except CannotRecord as error:
        _warn(error)
        yield record
        return
    record.params(_params(config))
    try:
        yield record
    except BaseException as error:
        with suppress(CannotRecord):
            run.__exit__(type(error), error, error.__traceback__)
        raise
    try:
        run.__exit__(None, None, None)
    except CannotRecord as error:
        _warn(error)


def _experiment(config: Config, models: Sequence[TrainedModel]) -> str:
    own = next((model.experiment for model in models if model.experiment), EXPERIMENT)
    return config.experiment_name or own


def _tags(config: Config, models: Sequence[TrainedModel]) -> Mapping[str, str]:
    return {
        **config.tracking.tags,
        "kind": "prediction",
        "mapped_with": config.mapped_with,
        "training_run_id": ", ".join(model.run_id for model in models if model.run_id),
        "checkpoint_sha256": ", ".join(model.checkpoint_sha256 for model in models),
        "out": config.out,
    }


def _params(config: Config) -> dict[str, Any]:
    values = config.model_dump(exclude={"tracking"}, by_alias=True)
    values["model"] = list(config.models)
    return dict(flat(values))


def _warn(error: CannotRecord) -> None:
    log.warning("MLflow has no whole record of these maps, which are made all the same: %s", first_line(error))
