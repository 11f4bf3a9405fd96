"""The MLflow run of a prediction command: kind "prediction". Failures of MLflow never cost a map."""

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

EXPERIMENT = "snowcover"  # for networks that store none
TABLE = "maps.csv"


class MapRecord:
    """Logs maps to MLflow; does nothing after a failure."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log the command's parameters."""
        self._try(lambda recorder: recorder.params(values))

    def log_map(self, number: int, made: CompleteMap, preview: Path) -> None:
        """Args: preview: a file named after the map."""
        totals = made.totals
        shares = {} if totals.snow_share is None else {"snow_share": totals.snow_share}
        areas = {"observed_km2": totals.observed_km2, "snow_km2": totals.snow_km2, "seconds": made.seconds or 0.0}
        self._try(lambda recorder: recorder.metrics([(number, {**areas, **shares})]))
        self._try(lambda recorder: recorder.artifact(preview, "previews"))

    def log_all_maps(self, made: Sequence[CompleteMap], scratch: Path) -> None:
        """Log the table of all maps as an artifact; it is written to `scratch` first."""
        path = scratch / TABLE
        storage.write(str(path), table.as_csv(made).encode())
        self._try(lambda recorder: recorder.artifact(path))

    def _try(self, action: Callable[[Recorder], None]) -> None:
        if self.recorder is None:
            return
        try:
            action(self.recorder)
        except CannotRecord as error:
            self.recorder = None
            _warn(error)


@contextmanager
def recording(config: Config, models: Sequence[TrainedModel]) -> Iterator[MapRecord]:
    """Opens a run in the training's experiment; it ends FINISHED, FAILED or KILLED, as the block does."""
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
    record.log_params(_params(config))
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
    log.warning(
        "MLflow's record of these maps is incomplete; the maps themselves are not affected: %s", first_line(error)
    )
