"""What a job left is read as it is: by an older MLflow, damaged, or leading somewhere else."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from snowcover.tracking import RunImportError, import_run
from tests.tracking.conftest import Left, execute, runs


@pytest.mark.slow
def test_a_store_of_an_older_mlflow_is_read_and_left_as_it_was(home: str, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    _old_store(folder)
    before = (folder / "mlflow.db").read_bytes()
    run = MlflowClient(home).get_run(import_run(folder, home, "home", {}))
    assert (folder / "mlflow.db").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow.db", "mlruns"]
    assert run.data.params == {"lr": "0.1"}
    assert run.info.run_name == "old"
    assert MlflowClient(home).get_metric_history(run.info.run_id, "loss")[0].timestamp == 1700000000500
    assert (Path(run.info.artifact_uri) / "result.json").read_text() == "{}"


def _old_store(folder: Path) -> None:
    """As MLflow 2.9 wrote it: its schema, made by MLflow's own migrations, and one run."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base

    artifacts = folder / "mlruns/1/r1/artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "result.json").write_text("{}")
    engine = create_sqlalchemy_engine(f"sqlite:///{folder}/mlflow.db")
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(f"sqlite:///{folder}/mlflow.db"), "acf3f17fdcc7")
    engine.dispose()
    execute(
        folder / "mlflow.db",
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
        " VALUES (1, 'e', '/opt/x/mlruns/1', 'active')",
        "INSERT INTO runs (run_uuid, name, experiment_id, user_id, status, start_time, end_time, lifecycle_stage,"
        " artifact_uri) VALUES ('r1', 'old', 1, 'root', 'FINISHED', 1700000000000, 1700000001000, 'active',"
        " '/opt/x/mlruns/1/r1/artifacts')",
        "INSERT INTO params (run_uuid, key, value) VALUES ('r1', 'lr', '0.1')",
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES ('r1', 'loss', 0.5, 1700000000500, 0, 0)",
        "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES ('r1', 'loss', 0.5, 1700000000500, 0, 0)",
    )


def _missing(store: Path) -> None:
    (store / "mlflow.db").unlink()


def _truncated(store: Path) -> None:
    content = (store / "mlflow.db").read_bytes()
    (store / "mlflow.db").write_bytes(content[: len(content) // 2])


def _text(store: Path) -> None:
    (store / "mlflow.db").write_text("no database at all " * 100)


def _empty(store: Path) -> None:
    (store / "mlflow.db").write_bytes(b"")


def _another(store: Path) -> None:
    (store / "mlflow.db").unlink()
    execute(store / "mlflow.db", "CREATE TABLE runs (a INT)")


def _newer(store: Path) -> None:
    execute(store / "mlflow.db", "UPDATE alembic_version SET version_num = 'f00f00f00f00'")


def _without_run(store: Path) -> None:
    execute(store / "mlflow.db", "UPDATE runs SET lifecycle_stage = 'deleted'")


def _halved_table(store: Path) -> None:
    execute(store / "mlflow.db", "ALTER TABLE metrics RENAME COLUMN step TO steps")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing, r"is no job's MLflow store: it has no mlflow\.db\.$"),
        (_truncated, r"mlflow\.db is damaged \(.+\): fetch the job's output again\.$"),
        (_text, r"mlflow\.db is damaged \(file is not a database\): "),
        (_empty, r"mlflow\.db is no MLflow database: it lacks MLflow's tables\.$"),
        (_another, r"mlflow\.db is no MLflow database: "),
        (_newer, r"MLflow \S+ cannot read .*mlflow\.db \(.*f00f00f00f00.*\): if a newer MLflow wrote it, install"),
        (_halved_table, r"MLflow \S+ cannot read .*mlflow\.db \(.*steps?\b.*\): "),
        (_without_run, r"mlflow\.db holds no run: the job ended before it started one\.$"),
    ],
)
def test_a_store_that_cannot_be_read_ends_in_one_message(left: Left, home: str, damage: Any, message: str) -> None:
    damage(left.folder)
    with pytest.raises(RunImportError, match=message) as error:
        import_run(left.folder, home, "home", {})
    assert "\n" not in str(error.value)
    assert not runs(home)


@pytest.mark.parametrize(
    "address", ["/opt/mlruns/../../secret", "/opt/mlruns//etc", "/opt/else/1/r/artifacts", "s3://bucket/mlruns/../.."]
)
def test_artifacts_outside_of_the_job_s_folder_are_not_read(left: Left, home: str, address: str) -> None:
    (left.folder.parent / "secret").mkdir()
    (left.folder.parent / "secret/key").write_text("hunter2")
    execute(left.folder / "mlflow.db", f"UPDATE runs SET artifact_uri = '{address}'")
    with pytest.raises(RunImportError, match=r"names artifacts at .*, outside of its mlruns\.$"):
        import_run(left.folder, home, "home", {})
    assert not list(Path.cwd().rglob("key"))
    assert not runs(home)


@pytest.mark.parametrize("name", ["passwords", "artifacts", "mlruns", "mlflow.db"])
def test_a_link_is_not_followed(left: Left, home: str, name: str) -> None:
    (artifacts,) = left.folder.glob("mlruns/*/*/artifacts/result.json")
    place = {"passwords": artifacts.parent / name, "artifacts": artifacts.parent}.get(name, left.folder / name)
    outside = left.folder.parent / "outside"
    if place.exists():
        place.rename(outside)
    else:
        outside.write_text("hunter2")
    place.symlink_to(outside)
    with pytest.raises(RunImportError):
        import_run(left.folder, home, "home", {})
    assert not list(Path.cwd().rglob("passwords"))
    assert not list(Path.cwd().rglob("result.json"))
