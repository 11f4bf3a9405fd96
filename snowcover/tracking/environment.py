"""MLflow's environment variables that name a run or an experiment: a run of ours is always its own."""

import os

import mlflow

from snowcover.tracking.errors import CannotRecord


def refuse_other_run(run_id: str | None) -> None:
    """Refuse what would make MLflow write this run into another one.

    Args:
        run_id: of the run that is resumed.

    Raises:
        CannotRecord
    """
    named = os.environ.get("MLFLOW_RUN_ID")
    if named and named != run_id:
        raise CannotRecord(
            f"MLFLOW_RUN_ID={named} in the environment names another run, and each training is a run of its own: "
            "`unset MLFLOW_RUN_ID`; checkpoint.resume=... resumes a run."
        )
    if (active := mlflow.active_run()) is not None:
        raise CannotRecord(
            f"The MLflow run {active.info.run_id} is still active in this process, and each training is a run of its "
            "own: end it with mlflow.end_run() first."
        )


def refuse_other_experiment(name: str, experiment_id: str) -> None:
    """Refuse an environment that names another experiment than the config does.

    Raises:
        CannotRecord
    """
    for variable, ours in (("MLFLOW_EXPERIMENT_NAME", name), ("MLFLOW_EXPERIMENT_ID", experiment_id)):
        given = os.environ.get(variable)
        if given and given != ours:
            raise CannotRecord(
                f"{variable}={given} in the environment contradicts experiment_name={name}"
                + (f", whose id is {ours}" if variable.endswith("ID") else "")
                + f": `unset {variable}`, or give the experiment_name that you mean."
            )
