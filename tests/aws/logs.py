"""CloudWatch logs of training jobs, stored in moto."""

import threading
import time
from datetime import datetime

from moto.logs.models import logs_backends

GROUP = "/aws/sagemaker/TrainingJobs"
_lock = threading.Lock()  # moto's backend has none


def begin(account: str, region: str, job: str, started: datetime) -> str:
    """Creates the stream of a job's first machine with SageMaker's name; returns the name."""
    logs = logs_backends[account][region]
    stream = f"{job}/algo-1-{int(started.timestamp())}"
    with _lock:
        if GROUP not in logs.groups:
            logs.create_log_group(GROUP, {})
        logs.ensure_log_stream(GROUP, stream)
    return stream


def write(account: str, region: str, stream: str, line: str) -> None:
    """Writes a line to a stream. CloudWatch does not accept empty lines."""
    event = {"timestamp": int(time.time() * 1000), "message": line}
    if line:
        with _lock:
            logs_backends[account][region].put_log_events(GROUP, stream, [event])


def lines(account: str, region: str, job: str) -> list[str]:
    """Every line of a job, over all its streams."""
    group = logs_backends[account][region].groups.get(GROUP)
    if group is None:
        return []
    with _lock:
        streams = sorted(name for name in group.streams if name.startswith(f"{job}/"))
        return [event.message for name in streams for event in group.streams[name].events]
