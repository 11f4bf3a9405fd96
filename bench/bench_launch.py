"""What a sweep of many jobs takes before anything is sent, beside Hydra composing as many configs and no more.

In seconds of processor time, which other programs on the machine hardly change; both begin with an empty process.
"""

import os
import resource
import subprocess
import sys
import tempfile

JOBS = int(os.environ.get("JOBS", "300"))
ACCOUNT = {
    "AWS_REGION": "us-west-2",
    "SNOWCOVER_ROLE_ARN": "arn:aws:iam::123456789012:role/snowcover-job",
    "SNOWCOVER_BUCKET": "snow-bucket",
    "SNOWCOVER_IMAGE_URI": "123456789012.dkr.ecr.us-west-2.amazonaws.com/snowcover:0.1.0-current",
}
COMPOSE = """
import sys
import hydra
from snowcover.config_root import conf_dir

with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
    for seed in range(int(sys.argv[1])):
        hydra.compose("config", overrides=["hw=g5", f"seed={seed}"], return_hydra_config=True)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        hydra = _cpu_s(["-c", COMPOSE, str(JOBS)], folder)
        command = ["-m", "snowcover.train", "-m", "hw=g5", f"seed=range(0,{JOBS})", "launch.dry_run=true"]
        ours = _cpu_s(command, folder)
    print(f"{JOBS} jobs, dry: {ours:6.1f} s; Hydra composes {JOBS} configs in {hydra:6.1f} s; ratio {ours / hydra:.2f}")


def _cpu_s(arguments: list[str], folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, **ACCOUNT}, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
