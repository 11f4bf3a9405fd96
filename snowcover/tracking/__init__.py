"""What runs leave in MLflow. The only place that imports mlflow.

A store is named by MLflow's tracking URI: a database of this machine (sqlite:///mlflow.db), a server (http://...) or
the ARN of a server that SageMaker manages, which its plugin `sagemaker-mlflow` reaches. Whatever keeps a store from
being written is a CannotRecord whose text is one sentence.
"""

import logging
import os

# Before mlflow is imported: a researcher's run tells nobody but the researcher.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
logging.getLogger("numexpr").setLevel(logging.WARNING)  # greets when pandas loads it

from snowcover.tracking.append import added_to  # noqa: E402 - after the settings that mlflow reads when imported
from snowcover.tracking.errors import CannotRecord  # noqa: E402
from snowcover.tracking.import_run import import_run  # noqa: E402
from snowcover.tracking.job_store import RunImportError  # noqa: E402
from snowcover.tracking.recording import Recorder, recorded  # noqa: E402
from snowcover.tracking.store import Status  # noqa: E402
from snowcover.tracking.sweeps import close_sweep, note, note_job, open_sweep, run_of_job  # noqa: E402

__all__ = [
    "RunImportError",
    "CannotRecord",
    "Recorder",
    "Status",
    "added_to",
    "import_run",
    "close_sweep",
    "note",
    "note_job",
    "open_sweep",
    "recorded",
    "run_of_job",
]
