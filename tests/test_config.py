"""Every file of conf composes, is right, and names things that can be made."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snowcover import network
from snowcover.cli import user_message
from snowcover.components import check_component, instantiate, partial
from snowcover.config_root import conf_dir
from snowcover.validation import ConfigError
from tests.making import BANDS, compose, config

GIVE = {  # values that a user must give, for files that ask for some
    "data=tiles": ["data.manifest=manifest.csv"],
    "tracking=server": ["tracking.uri=http://localhost:5000"],
    "tracking=sagemaker_mlflow": ["tracking.uri=arn:aws:sagemaker:us-west-2:123456789012:mlflow-tracking-server/snow"],
    "checkpoint=from_weights": ["checkpoint.init_from=best.ckpt"],
    "experiment=aso_tuolumne_step1": ["data.images=i", "data.masks=m"],
    "experiment=aso_tuolumne_step2": ["data.images=i", "data.masks=m", "checkpoint.init_from=best.ckpt"],
    "experiment=aso_tuolumne_step3": ["data.images=i", "data.masks=m", "checkpoint.init_from=best.ckpt"],
}
CHOICES = sorted(
    f"{'+' if file.parent.name == 'sweep' else ''}{file.parent.name}={file.stem}"  # no sweep is among the defaults
    for file in conf_dir().glob("*/[!_]*.yaml")  # those with an underscore are what others begin with
    if file.parent.name != "predict"
)
MODELS = [choice for choice in CHOICES if choice.startswith("model=")]


def of(group: str) -> list[str]:
    return [choice for choice in CHOICES if choice.startswith(f"{group}=")]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_composes_into_a_right_config(choice: str) -> None:
    config(choice, *GIVE.get(choice, []), *GIVE.get(choice.partition("=")[0], []))


def test_the_choices_that_users_are_promised_are_there() -> None:
    networks = "ternausv2 pixelunet unet unetplusplus manet linknet fpn pspnet pan deeplabv3plus segformer upernet dpt"
    promised = {f"model={name}" for name in networks.split()}
    promised |= {f"loss={name}" for name in ["lovasz", "dice", "jaccard", "tversky", "focal", "bce", "mcc", "weighted"]}
    promised |= {f"optimizer={name}" for name in ("adam", "adamw", "sgd")}
    promised |= {f"scheduler={name}" for name in ("none", "cosine", "onecycle", "plateau")}
    promised |= {f"hw={name}" for name in ("local", "cpu", "gpu")}
    promised |= {"experiment=published"} | {f"experiment=aso_tuolumne_step{step}" for step in (1, 2, 3)}
    assert promised <= set(CHOICES)


def test_the_defaults_are_the_documented_ones() -> None:
    chosen = config()
    assert chosen.model["_target_"].endswith("PixelUnet")
    assert chosen.optimizer == {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 0.01}
    assert chosen.scheduler["_target_"].endswith("OneCycleLR")
    assert chosen.loss["of"]["_target_"].endswith("BCEWithLogitsLoss")
    assert chosen.data.bands == list(BANDS)
    assert chosen.data.scale == 1e-4


@pytest.mark.parametrize("choice", of("experiment"))
def test_the_published_runs_stay_as_they_were_published(choice: str) -> None:
    chosen = config(choice, *GIVE.get(choice, []))
    assert chosen.model["_target_"].endswith("TernausV2")
    assert chosen.model["encoder_name"] == "resnet50"
    assert chosen.optimizer == {"_target_": "torch.optim.Adam", "lr": 2.5e-5, "weight_decay": 0.0}
    assert chosen.scheduler == {}
    assert chosen.loss["_target_"].endswith("LovaszHinge")
    assert (chosen.trainer.max_epochs, chosen.trainer.batch_size) == (50, 7)
    assert chosen.data.augment.brightness == 0


@pytest.mark.slow
@pytest.mark.parametrize("choice", MODELS)
def test_every_network_maps_four_bands_to_one_mask(choice: str) -> None:
    net = network.build(config(choice).model, BANDS, pretrained=False).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 4, 128, 192)).shape == (2, 1, 128, 192)


@pytest.mark.parametrize("choice", of("loss"))
def test_every_loss_falls_towards_the_truth_and_ignores_the_unobserved(choice: str) -> None:
    node = config(choice).loss
    check_component(node, "loss")
    loss = instantiate(node, "loss")
    mask = torch.tensor([[[1, 0], [1, 255]]], dtype=torch.uint8)
    right = torch.tensor([[[[3.0, -3.0], [3.0, 9.0]]]], requires_grad=True)
    assert loss(right, mask) < loss(-right, mask)
    loss(right, mask).backward()
    assert right.grad[0, 0, 1, 1] == 0


@pytest.mark.parametrize("choice", of("optimizer"))
def test_every_optimizer_makes_its_step(choice: str) -> None:
    node = config(choice).optimizer
    check_component(node, "optimizer", given=("params",))
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = instantiate(node, "optimizer", params=[weight])
    (weight**2).sum().backward()
    optimizer.step()
    assert weight.item() < 1


@pytest.mark.parametrize("choice", [c for c in of("scheduler") if c != "scheduler=none"])
def test_every_scheduler_can_be_made(choice: str) -> None:
    node = config(choice).scheduler
    check_component(node, "scheduler", given=("optimizer", "steps_per_epoch"))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    extra = {"steps_per_epoch": 5} if choice == "scheduler=onecycle" else {}
    partial(node)(optimizer, **extra)


def test_any_two_losses_can_be_weighed() -> None:
    node = config("loss=weighted", "+loss@loss.terms.dice=dice", "+loss.weights.dice=0.5").loss
    assert set(node["terms"]) == {"lovasz", "bce", "dice"}
    instantiate(node, "loss")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+foo=1"], r"foo: the config has no such key\.$"),
        (["+data.scal=3"], r"data\.scal: the config has no such key \(did you mean scale\?\)\.$"),
        (["data.split.train=1.3"], r"data\.split\.train=1\.3: input should be less than 1"),
        (["data.split.train=0.8"], r"data\.split: the shares train \+ val \+ test make 1\.1, they must make 1"),
        (["trainer.max_epochs=abc"], r"trainer\.max_epochs='abc': input should be a valid integer"),
        (["trainer.batch_size=0"], r"trainer\.batch_size=0: input should be greater than or equal to 1"),
        (["seed=-1"], r"seed=-1: "),
        (["data.mean=[1,2]"], r"data: mean and std go together"),
        (["data.mean=[1,2]", "data.std=[1,2]"], r"data: mean has 2 values for 4 bands"),
        (["data=tiles"], r"give data\.sources \(a list of pairs"),
        (["data=tiles", "data.sources=[{scens: a, collect: b}]"], r"data\.sources\.0\.scens: .*did you mean scenes\?"),
        (["tracking=server"], r"tracking\.uri \(MLflow tracking URI"),
        (["experiment=aso_tuolumne_step2"], r"data\.images \(.*data\.masks \(.*checkpoint\.init_from \("),
        (["hw.accelerator=tpu"], r"hw\.accelerator='tpu': input should be 'auto', 'cpu', 'gpu' or 'mps'"),
        (["experiment_name=../up"], r"experiment_name='\.\./up': "),
        (["data.split.by=collect"], r"by=collect needs val_names and test_names"),
    ],
)
def test_a_wrong_value_ends_in_one_message(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=abc"], r"optimizer\.lr='abc': "),
        (["optimizer.lr=-1"], r"optimizer: Invalid learning rate: -1"),
        (["+optimizer.lrr=1"], r"optimizer\.lrr: AdamW takes no such key \(did you mean lr\?\)"),
        (["optimizer._target_=torch.optim.Adm"], r"optimizer\._target_=torch\.optim\.Adm: there is no such"),
        (["optimizer._target_=null"], r"optimizer: must name a class by _target_"),
    ],
)
def test_a_wrong_component_ends_in_one_message(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        node = config(*overrides).optimizer
        check_component(node, "optimizer", given=("params",))
        instantiate(node, "optimizer", params=[torch.nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=ternaus"], r"^model=ternaus: no such model \(did you mean ternausv2\?\); the choices are .*unet"),
        (["optimizer.lrr=1"], r"^optimizer\.lrr: the config has no such key \(did you mean optimizer\.lr\?\)\.$"),
        (["optmizer=adam"], r"^optmizer: the config has no such key \(did you mean optimizer\?\)\.$"),
        (["data.sources=[{scenes:"], r"^data\.sources=\[\{scenes:: Hydra cannot read this override"),
    ],
)
def test_what_hydra_refuses_ends_in_one_message(overrides: list[str], message: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Hydra's kinds differ; the sentence is what counts
        compose(*overrides)
    text = user_message(raised.value, "config")
    assert "\n" not in text
    import re

    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=unet", "model.encoder_name=resnet9"],
            r"model\.encoder_name=resnet9: no such encoder \(did you mean resnet",
        ),
        (["model=ternausv2", "model.encoder_name=resnet9"], r"model\.encoder_name=resnet9: no such encoder"),
        (
            ["model=unet", "+model.encoder_dept=4"],
            r"model\.encoder_dept: Unet takes no such key \(did you mean encoder_depth\?",
        ),
        (["model=unet", "model.encoder_weights=imagenot"], r"model\.encoder_weights=imagenot"),
    ],
)
def test_a_wrong_network_ends_in_one_message(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network.build(config(*overrides).model, BANDS, pretrained=True)


def test_tiles_that_do_not_divide_are_refused_at_the_start() -> None:
    net = network.build(config("model=ternausv2", "model.encoder_name=resnet18").model, BANDS, pretrained=False)
    with pytest.raises(network.DoesNotFit, match="TernausV2 does not take tiles of 96 x 96 pixels"):
        network.tile_memory_bytes(net, (4, 96, 96))


def test_a_batch_beyond_memory_is_refused_with_one_that_fits() -> None:
    with pytest.raises(
        network.DoesNotFit,
        match=r"trainer\.batch_size=64 needs about 64\.0 GB, 10\.0 GB are free: trainer\.batch_size=8 fits",
    ):
        network.check_memory(10**9, 64, 10 * 10**9)
    network.check_memory(10**9, 8, 10 * 10**9)


def test_composing_and_checking_imports_nothing_heavy() -> None:
    program = (
        "import sys, hydra; from omegaconf import open_dict; from snowcover import train\n"
        "from snowcover.validation import check; from snowcover.config_root import conf_dir\n"
        "from snowcover.config import Config\n"
        "with hydra.initialize_config_dir(str(conf_dir()), version_base='1.3'):\n"
        "    config = hydra.compose('config')\n"
        "with open_dict(config):\n"
        "    config.pop('aws'), config.pop('launch')\n"
        "check(Config, config)\n"
        "heavy = {'torch', 'lightning', 'mlflow', 'botocore', 'boto3', 'sagemaker', 'obstore'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
