"""The keys of a training config that we own: their types, ranges and meaning; those of `data` are in data/config.py."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from snowcover.data.config import DataConfig
from snowcover.paths import Place, StoreUri
from snowcover.validation import Component, Section

# null in the YAML: Hydra takes key={a: b} for a change of a mapping's keys, of which an empty one has none.
Texts = Annotated[dict[str, str], BeforeValidator(lambda given: {} if given is None else given)]


class TrainerConfig(Section):
    """The training loop."""

    max_epochs: Annotated[int, Field(ge=1)]
    """passes over the training tiles"""
    batch_size: Annotated[int, Field(ge=1)]
    """tiles a step on each device"""
    accumulate_batches: Annotated[int, Field(ge=1)]
    """batches whose gradients are averaged before the optimizer steps"""
    patience_epochs: Annotated[int, Field(ge=1)] | None = None
    """stop after that many epochs without a better val_iou; null: never"""
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = None
    """largest norm of the gradient; null: as it is"""
    forest: bool
    """fit a random forest on single pixels alongside the network: a baseline for each run's scores, which
    predict maps with by with=forest"""


class HwConfig(Section):
    """The machine."""

    backend: Literal["local", "docker", "sagemaker"] = "local"
    """what runs the job: local, this machine; docker, this machine, in the image; sagemaker, a cloud instance"""
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    """auto: CUDA, then MPS, then CPU"""
    devices: Annotated[int, Field(ge=1)] | Literal["auto"]
    """processes on each machine, each with its own device; auto: all GPUs"""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"]
    """auto: mixed on a GPU, and on a CPU with AMX where one process trains, in half the time; else full"""
    data_workers: Annotated[int, Field(ge=1)]
    """processor cores given to reading tiles; each keeps four pairs on the way"""
    image: Literal["current", "kepler"] = "current"
    """variant of the container image: current; kepler, with an older torch, for the K80 of p2 and the V100 of p3"""
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] | None = None
    """SageMaker's name of the machine, for example ml.g5.xlarge"""
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    """machines that train one run together"""
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    """disk; machines with a disk of their own (g4dn, g5, g6, p4d, p5) ignore it"""
    max_hours: Annotated[float, Field(gt=0, le=28 * 24)] = 10
    """the job is stopped after that many hours of training: the limit of its cost"""
    spot: bool = False
    """spare capacity: cheaper, may be interrupted and resumes from its last epoch"""
    max_wait_hours: Annotated[float, Field(gt=0, le=28 * 24)] | None = None
    """with spot: hours to wait for capacity and train, at least max_hours; null: twice max_hours"""
    keep_alive_minutes: Annotated[int, Field(ge=1, le=60)] | None = None
    """minutes that the machine waits for the next job after this one, which then starts at once; they cost as running
    does; null: it goes"""
    retries: Annotated[int, Field(ge=0, le=30)] = 0
    """times that SageMaker starts the job again, from its last epoch, after a fault of its own; all within max_hours"""
    fallback: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]] = Field(default_factory=list)
    """what to take, in this order, where the machine is not to be had: files of hw or instance types, for example
    [g6, ml.g4dn.2xlarge]"""
    max_silent_minutes: Annotated[int, Field(ge=5)] | None = None
    """a job that trains and logs nothing for that long is stopped; longer than an epoch; null: never"""

    @model_validator(mode="after")
    def _a_cloud_instance_has_a_type(self) -> "HwConfig":
        if self.backend == "sagemaker" and self.instance_type is None:
            raise ValueError("backend=sagemaker needs instance_type, for example instance_type=ml.g5.xlarge")
        if self.backend != "local" and self.devices == "auto":
            raise ValueError("devices=auto is for this machine: give the number of GPUs, or 1 for a CPU")
        for_instances: dict[str, Any] = {"instance_count": 1, "keep_alive_minutes": None, "retries": 0, "fallback": []}
        for key, default in for_instances.items():
            if self.backend != "sagemaker" and getattr(self, key) != default:
                raise ValueError(f"{key}={getattr(self, key)} needs backend=sagemaker")
        return self

    @model_validator(mode="after")
    def _keeps_no_spot_instance(self) -> "HwConfig":
        if self.spot and self.keep_alive_minutes is not None:
            raise ValueError(
                f"keep_alive_minutes={self.keep_alive_minutes} is for spot=false: SageMaker keeps no spot instance"
            )
        return self

    @model_validator(mode="after")
    def _waits_for_spot(self) -> "HwConfig":
        if self.max_wait_hours is not None and not self.spot:
            raise ValueError("max_wait_hours is for spot=true")
        if self.max_wait_hours is not None and self.max_wait_hours < self.max_hours:
            raise ValueError(f"max_wait_hours={self.max_wait_hours:g} is less than max_hours={self.max_hours:g}")
        return self


class TrackingConfig(Section):
    """Where MLflow records."""

    uri: StoreUri
    """MLflow tracking URI, for example http://mlflow.lab:5000 or sqlite:///mlflow.db"""
    system_metrics: bool
    """record CPU, memory, disk and GPU load"""
    export_model: bool = True
    """keep the best network as an MLflow model, which needs no code of ours; false: its checkpoint alone, which saves
    seconds a run in a search of many"""
    tags: Texts = Field(default_factory=dict)
    """tags of the run in MLflow, for example {basin: Tuolumne}"""


class CheckpointConfig(Section):
    """Where a run begins and where it saves."""

    dir: Place | None = None
    """folder for best.ckpt and last.ckpt; by default checkpoints/ in the run's folder"""
    resume: Place | None = None
    """auto: the last run of this config, or a new one where there is none; or the path or s3:// of a last.ckpt"""
    init_from: Place | None = None
    """path or s3:// of a checkpoint, ours or robosat.pink's, whose weights a new run starts from; a resumed run goes
    on from its own"""
    keep_last: bool = False
    """keep last.ckpt, with the optimizer's state, of a run that is complete: it can then be made longer"""


class Config(Section):
    """One training run."""

    experiment_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """the question that this run belongs to: an MLflow experiment, and a folder under outputs/"""
    run_name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    """name of the run in MLflow; by default made from the network and what was overridden"""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """seed of weights, split, order and augmentation"""
    model: Component
    """the network: a file of conf/model, with `_target_` and its arguments"""
    data: DataConfig
    loss: Component
    """the loss: a file of conf/loss"""
    optimizer: Component
    """the optimizer: a file of conf/optimizer"""
    scheduler: Component
    """the learning rate's schedule: a file of conf/scheduler"""
    trainer: TrainerConfig
    hw: HwConfig
    tracking: TrackingConfig
    checkpoint: CheckpointConfig
