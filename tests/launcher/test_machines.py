"""The table of SageMaker's machines, and which values of hw are refused before anything is sent."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from botocore.session import Session

from snowcover.config import HwConfig
from snowcover_launch.backends.sagemaker.machine_check import UnfitMachine, machine_warnings, refuse_unfit_machine
from snowcover_launch.backends.sagemaker.machines import instance_types, machines, why_unfit
from snowcover_launch.config import JobConfig
from snowcover_launch.images.build import CHECKOUT
from snowcover_launch.images.check import FLAGS, BrokenImage, refuse_other_gpus
from snowcover_launch.images.variants import VARIANTS, compiled_for, variant_for
from tests.making import compose

# In AWS's API, but not in the table: old, burstable, or too new to be sure of.
LEFT_OUT = re.compile(r"ml\.(m4|c4|t3|g7)\.")


@pytest.fixture(scope="module")
def composed_hw() -> dict[str, dict[str, Any]]:
    """hw as composed by the names that the tests of refusals start from."""
    return {name: dict(compose(f"hw={name}").hw) for name in ("g5", "g5_12x", "p2", "p3", "cpu_m5", "docker")}


@pytest.fixture
def changed(composed_hw: dict[str, dict[str, Any]]) -> Any:
    return lambda name, **changes: JobConfig.model_construct(hw=HwConfig(**{**composed_hw[name], **changes}))


def enum_of_training_machines() -> Iterator[str]:
    resources: Any = Session().get_service_model("sagemaker").shape_for("ResourceConfig")
    yield from resources.members["InstanceType"].enum


def test_the_table_holds_the_machines_that_sagemakers_own_api_names() -> None:
    known = set(enum_of_training_machines())
    assert set(machines()) <= known
    rest = {name for name in known - set(machines()) if not why_unfit(name) and not LEFT_OUT.match(name)}
    assert not rest, "new machines: add them to machines.yaml"


def test_every_machine_is_supported_by_a_variant_and_used_fully() -> None:
    for machine in machines().values():
        best = machine.best_use
        assert (best["devices"], best["accelerator"]) == ((machine.gpus, "gpu") if machine.gpus else (1, "cpu"))
        refuse_unfit_machine(JobConfig.model_construct(hw=HwConfig(backend="sagemaker", **best)))
        assert not list(machine_warnings(JobConfig.model_construct(hw=HwConfig(backend="sagemaker", **best))))
        assert (machine.gpu is None) == (machine.gpus == 0)
        if machine.gpu:
            assert variant_for(machine.gpu.compute_capability) == best["image"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("g5", {"devices": 4}, r"hw\.devices=4: ml\.g5\.xlarge has 1 A10G GPU; set hw\.devices=1, or use "
         r"hw\.instance_type=ml\.g5\.12xlarge\."),
        ("g5_12x", {"devices": 16, "data_workers": 1}, r"has 4 A10G GPUs; .*choose another instance type"),
        ("cpu_m5", {"accelerator": "gpu"}, r"hw\.accelerator=gpu: ml\.m5\.2xlarge has no GPU; choose a machine"),
        ("g5", {"instance_type": "ml.m5.2xlarge"}, r"has no GPU; .*or set hw\.accelerator=cpu hw\.devices=1 "
         r"hw\.precision=32-true hw\.data_workers=8\."),
        ("p2", {"image": "current"}, r"hw\.image=current: its torch \S+ has no code for the K80 of ml\.p2\.xlarge "
         r"\(compute capability 3\.7\); set hw\.image=kepler\."),
        ("p3", {"image": "current"}, r"no code for the V100 of ml\.p3\.2xlarge .*; set hw\.image=kepler\."),
        ("g5", {"instance_type": "ml.p5.4xlarge", "image": "kepler"}, r"no code for the H100 .*set hw\.image=current"),
        ("p3", {"precision": "bf16-mixed"}, r"the V100 of ml\.p3\.2xlarge does not support it; set hw\.precision=16"),
        ("g5", {"instance_type": "ml.g4dn.xlarge"}, r"hw\.precision=bf16-mixed: the T4 .*set hw\.precision=16-mixed\."),
        ("p2", {"precision": "16-mixed"}, r"the K80 .*set hw\.precision=32-true\."),
        ("g5", {"instance_type": "ml.p3.2xlarge"}, r"hw\.precision=bf16-mixed: .*\. hw\.image=current: .*"),
        ("cpu_m5", {"precision": "16-mixed"}, r"is for GPUs, .*: set hw\.precision=32-true\."),
        ("g5", {"data_workers": 8}, r"=8: ml\.g5\.xlarge has 4 cores; set hw\.data_workers=4 or fewer\."),
        ("g5_12x", {"data_workers": 13}, r"hw\.data_workers=13 for each of hw\.devices=4: .*set hw\.data_workers=12"),
        ("cpu_m5", {"devices": 9, "data_workers": 1}, r"hw\.devices=9: ml\.m5\.2xlarge has 8 cores"),
        ("g5", {"volume_gb": 500}, r"has a local disk of 250 GB, .*use hw\.instance_type=ml\.g5\.4xlarge\."),
        ("g5", {"accelerator": "mps"}, r"hw\.accelerator=mps is for Apple machines"),
        ("g5", {"instance_type": "ml.trn1.2xlarge"}, r"ml\.trn1\.2xlarge has AWS Trainium chips"),
        ("g5", {"instance_type": "ml.p6e-gb200.36xlarge"}, r"has ARM processors"),
    ],
)  # fmt: skip
def test_a_job_that_could_not_use_its_machine_is_refused_with_the_way_out(
    changed: Any, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnfitMachine, match=message):
        refuse_unfit_machine(changed(name, **changes))


def test_valid_combinations_are_not_refused(changed: Any) -> None:
    for name, changes in (
        ("g5", {"instance_type": "ml.g5.8xlarge", "data_workers": 32, "volume_gb": 900}),
        ("g5", {"image": "kepler", "precision": "auto", "accelerator": "auto"}),
        ("g5_12x", {"devices": 2, "data_workers": 24}),
        ("cpu_m5", {"accelerator": "auto", "devices": 2, "data_workers": 4, "volume_gb": 16000}),
        ("p2", {"accelerator": "cpu", "data_workers": 2}),
        ("docker", {"accelerator": "gpu", "devices": 64}),
    ):
        refuse_unfit_machine(changed(name, **changes))


def test_paid_but_unused_resources_give_a_warning(changed: Any) -> None:
    (idle,) = machine_warnings(changed("g5_12x", devices=1))
    assert idle == "hw.devices=1: 3 of the 4 A10G GPUs of ml.g5.12xlarge would be paid for but not used."
    (unused,) = machine_warnings(changed("p2", accelerator="cpu"))
    assert "the 1 K80 GPU of ml.p2.xlarge would be paid for" in unused
    (unknown,) = machine_warnings(changed("g5", instance_type="ml.g7.2xlarge", devices=9))
    assert "ml.g7.2xlarge is not in machines.yaml" in unknown
    refuse_unfit_machine(changed("g5", instance_type="ml.g7.2xlarge", devices=9))
    assert not list(machine_warnings(changed("docker")))


def test_each_variant_has_the_torch_of_the_table() -> None:
    assert {file.stem for file in (CHECKOUT / "container").glob("constraints-*.txt")} == {
        f"constraints-{name}" for name in VARIANTS
    }
    for name, variant in VARIANTS.items():
        lines = (CHECKOUT / "container" / f"constraints-{name}.txt").read_text().splitlines()
        assert f"torch=={variant.torch}" in lines
    assert set(HwConfig.model_fields["image"].annotation.__args__) == set(VARIANTS)  # type: ignore[union-attr]


def test_the_table_lists_the_gpus_that_torch_is_compiled_for() -> None:
    here = subprocess.run([sys.executable, "-c", FLAGS], capture_output=True, text=True, check=True).stdout
    current = VARIANTS["current"]
    if not here.strip() or version("torch").partition("+")[0] != current.torch:
        pytest.skip(f"torch {version('torch')} is not the one of the image")
    assert compiled_for(here) == current.compute_capabilities
    refuse_other_gpus("snowcover:x", "current", here)
    with pytest.raises(BrokenImage, match=r"compiled for sm_75 sm_80, and current jobs also need sm_86, sm_90"):
        refuse_other_gpus("snowcover:x", "current", "sm_75 sm_80\n")


def test_a_gpu_runs_code_of_its_own_major_version_and_no_higher_minor() -> None:
    assert [variant_for(gpu) for gpu in ((3, 7), (7, 0), (7, 5), (8, 9), (10, 3))] == [
        "kepler", "kepler", "current", "current", "current",
    ]  # fmt: skip
    assert variant_for((3, 5)) is None
    assert not VARIANTS["kepler"].supports((9, 0))
    assert compiled_for("sm_75 sm_120 sm_90a compute_90") == ((7, 5), (12, 0), (9, 0))


def test_an_algorithm_names_every_machine_that_its_image_can_use() -> None:
    current, kepler = instance_types("current"), instance_types("kepler")
    assert {"ml.g5.2xlarge", "ml.p5.48xlarge", "ml.m5.2xlarge"} <= set(current)
    assert not {"ml.p2.xlarge", "ml.p3.2xlarge"} & set(current)
    assert {"ml.p2.xlarge", "ml.p3.2xlarge", "ml.g5.xlarge", "ml.m5.2xlarge"} <= set(kepler)
    assert "ml.p5.48xlarge" not in kepler
