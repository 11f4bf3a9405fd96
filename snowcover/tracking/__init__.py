"""What runs leave in MLflow. The only place that imports mlflow.

A store is named by MLflow's tracking URI: a database of this machine (sqlite:///mlflow.db), a server (http://...) or
the ARN of a server that SageMaker manages, which its plugin `sagemaker-mlflow` reaches. Whatever keeps a store from
being written is a CannotRecord whose text is one message.
"""

import logging
import os

# Before mlflow is imported: a researcher's runs are nobody else's business.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
logging.getLogger("numexpr").setLevel(logging.WARNING)  # greets when pandas loads it

from snowcover.tracking.append import append_to_run  # noqa: E402 - after the settings that mlflow reads when imported
from snowcover.tracking.errors import CannotRecord  # noqa: E402
from snowcover.tracking.job_store import RunImportError  # noqa: E402
from snowcover.tracking.recording import Recorder, recorded  # noqa: E402
from snowcover.tracking.run_import import import_run  # noqa: E402
from snowcover.tracking.store import Status  # noqa: E402
from snowcover.tracking.sweeps import close_sweep, note, note_job, open_sweep, run_of_job  # noqa: E402

__all__ = [
    "RunImportError",
    "CannotRecord",
    "Recorder",
    "Status",
    "append_to_run",
    "import_run",
    "close_sweep",
    "note",
    "note_job",
    "open_sweep",
    "recorded",
    "run_of_job",
]
