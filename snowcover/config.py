"""The keys of a training config that we own: their types, ranges and meaning.

The nodes that name a class by `_target_` (model, loss, optimizer, scheduler, data.generate) are checked against
the signature of that class instead: components.py.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from snowcover.data.bands import ALPHA, canonical
from snowcover.data.layer_names import all_channels
from snowcover.paths import Place, StoreUri, expanded, layers_to_read
from snowcover.validation import Section


def _names_a_class(node: dict[str, Any]) -> dict[str, Any]:
    if node and not isinstance(node.get("_target_"), str):
        raise ValueError("must name a class by _target_; choose one of the group's files instead")
    return node


def _makes_tiles(node: dict[str, Any]) -> dict[str, Any]:
    """A component whose `folder`, if it has one, is a path."""
    return {**node, "folder": expanded(node["folder"])} if isinstance(node.get("folder"), str) else node


Component = Annotated[dict[str, Any], AfterValidator(_names_a_class)]


def _band_name(given: str) -> str:
    name = canonical(given) or given.strip().lower()
    if not name or name == ALPHA:
        raise ValueError(f"{given!r} names no band of measurements")
    return name


BandName = Annotated[str, AfterValidator(_band_name)]  # kept in our own words: R and red are one
TileMaker = Annotated[Component, AfterValidator(_makes_tiles)]
Share = Annotated[float, Field(gt=0, lt=1)]
# null in the YAML: Hydra takes key={a: b} for a change of a mapping's keys, of which an empty one has none.
Texts = Annotated[dict[str, str], BeforeValidator(lambda given: {} if given is None else given)]


def _layers(given: dict[str, str]) -> dict[str, str]:
    """By name: a mapping has no order of its own, and the order of channels must not depend on how it was written."""
    named = {_band_name(name): place for name, place in given.items()}
    channels = all_channels(named)
    if twice := [name for name in channels if channels.count(name) > 1]:
        raise ValueError(f"layers name {twice[0]} twice: leave one of them out")
    if len(named) < len(given):
        raise ValueError(f"layers name one layer in two ways: {', '.join(given)}")
    return dict(sorted(named.items()))


Layers = Annotated[
    dict[str, Place], BeforeValidator(lambda given: {} if given is None else given), AfterValidator(_layers)
]


class Source(Section):
    """Scenes and the one collect of masks that they share a date with."""

    scenes: Place | list[Place]
    """folder or s3:// pattern of the scenes, or a list of them, for example s3://bucket/2018052?_*_tiled"""
    collect: Place
    """folder or s3:// prefix of the collect of masks, for example s3://snow/ASO_3M_SD_USCATE_20180528"""
    date: str | None = None
    """date of the flight as YYYYMMDD; by default the eight digits in the collect's name"""

    @property
    def patterns(self) -> list[str]:
        return [self.scenes] if isinstance(self.scenes, str) else self.scenes


class Split(Section):
    """How tiles are divided into train, val and test."""

    by: Literal["block", "collect", "date"]
    """block: by ground, the same in every scene; collect or date: hold out the named ones"""
    block_tiles: Annotated[int, Field(ge=1)]
    """side of a ground block in tiles; above 1 keeps neighbouring tiles on one side"""
    train: Share
    """share of the blocks' tiles used for training, between 0 and 1"""
    val: Share
    """share used to choose the best epoch, between 0 and 1"""
    test: Share
    """share kept for the final scores, between 0 and 1"""
    val_names: list[str]
    """collects or dates held out for validation, with by=collect or by=date"""
    test_names: list[str]
    """collects or dates held out for the test, with by=collect or by=date"""

    @model_validator(mode="after")
    def _shares_make_one(self) -> "Split":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares train + val + test make {total:g}, they must make 1")
        return self

    @model_validator(mode="after")
    def _held_out_names(self) -> "Split":
        if self.by == "block":
            return self
        if not (self.val_names and self.test_names):
            raise ValueError(f"by={self.by} needs val_names and test_names, for example val_names=[20180601]")
        if both := set(self.val_names) & set(self.test_names):
            raise ValueError(f"{', '.join(sorted(both))} is in val_names and in test_names")
        return self


class Augment(Section):
    """Changes to training tiles that leave the truth as it is."""

    flips_and_rotations: bool
    """the eight flips and rotations of a square tile, each as likely"""
    brightness: Annotated[float, Field(ge=0, lt=1)]
    """largest relative change of brightness, the same for all bands; 0 leaves it"""


class DataConfig(Section):
    """Which tiles, and how their numbers become network input."""

    images: Place | None = None
    """folder or bucket of the scenes, for example s3://planet-imagery; data.sources may refer to it"""
    masks: Place | None = None
    """folder or bucket of the collects, for example s3://snow; data.sources may refer to it"""
    sources: list[Source]
    """list of pairs, for example [{scenes: "imagery/2018*", collect: "masks/ASO_20180528"}]"""
    manifest: Place | None = None
    """manifest of an earlier run (a path or s3://...): train on exactly its pairs, without listing"""
    generate: TileMaker = Field(default_factory=dict)
    """what makes the tiles when they are not there yet: the demo data"""
    unmatched: Literal["skip", "error"]
    """what to do with images without a mask: skip or error"""
    cache: Place | None = None
    """folder that keeps tiles once read from S3"""
    bands: list[BandName] = Field(min_length=1)
    """names of the bands to use, in the order of the network's channels"""
    layers: Layers = Field(default_factory=dict)
    """tiles without a date that join the bands as channels, in the order of their names: a folder or s3:// prefix for
    each, for example {elevation: tiles/dem, canopy_height: tiles/canopy}; of an elevation's tiles also slope, aspect
    (its sine and cosine) and illumination (at the scene's time)"""
    scale: Annotated[float, Field(gt=0)]
    """factor from stored numbers to reflectance, which is stored * scale + offset"""
    offset: float
    """reflectance of a stored 0"""
    nodata: float
    """value of unobserved pixels in image tiles whose files do not say"""
    mean: list[float] | None = None
    """mean reflectance of each band; by default computed over the training tiles"""
    std: list[Annotated[float, Field(gt=0)]] | None = None
    """standard deviation of each band's reflectance; by default computed over the training tiles"""
    split: Split
    augment: Augment

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the network's channels: the bands, and then the layers."""
        return (*self.bands, *all_channels(self.layers))

    @property
    def layers_to_read(self) -> dict[str, str]:
        """Those that must be there before the run: not in the folder that `generate` fills."""
        return layers_to_read(self.layers, self.manifest, self.generate)

    @model_validator(mode="after")
    def _layers_are_no_bands(self) -> "DataConfig":
        if both := [name for name in all_channels(self.layers) if name in self.bands]:
            raise ValueError(f"{both[0]} is in bands and in layers: leave one of them out")
        return self

    @model_validator(mode="after")
    def _some_tiles(self) -> "DataConfig":
        if not (self.sources or self.manifest):
            raise ValueError(
                'give data.sources (a list of pairs such as [{scenes: "imagery/2018*", collect: "masks/ASO_2018"}]) '
                "or data.manifest (the manifest.csv of an earlier run)"
            )
        return self

    @model_validator(mode="after")
    def _one_number_per_band(self) -> "DataConfig":
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands names a band twice: {self.bands}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != len(self.bands):
                raise ValueError(f"{name} has {len(values)} values for {len(self.bands)} bands {self.bands}")
        return self


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
    """fit a random forest that sees single pixels beside the network: what each run is scored beside, and what predict
    maps with by with=forest"""


class HwConfig(Section):
    """The machine."""

    backend: Literal["local", "docker", "sagemaker"] = "local"
    """what runs the job: local, this machine; docker, this machine, in the image; sagemaker, a cloud instance"""
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    """auto: CUDA, then MPS, then CPU"""
    devices: Annotated[int, Field(ge=1)] | Literal["auto"]
    """processes on each machine, each with its own device; auto: all GPUs"""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"]
    """auto: mixed on a GPU, full on a CPU"""
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
    """spare capacity: cheaper, may be interrupted and goes on from its last epoch"""
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
    def _a_rented_machine_has_a_type(self) -> "HwConfig":
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
