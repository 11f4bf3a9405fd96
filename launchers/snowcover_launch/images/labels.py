"""Checks by its labels whether an image fits a machine, before anything is paid for."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from snowcover import __version__
from snowcover.config import HwConfig
from snowcover.errors import UserError
from snowcover.provenance import code_digest

if TYPE_CHECKING:
    from snowcover_launch.aws.session import Account

log = logging.getLogger(__name__)

VARIANT, CODE = "snowcover.variant", "snowcover.code"
VERSION, COMMIT = "org.opencontainers.image.version", "org.opencontainers.image.revision"
COMMIT_LENGTH = 12


class UnfitImage(UserError):
    """The image is not ours, or of another variant or version than the job needs."""


def check_image(account: "Account", uri: str, hw: HwConfig) -> None:
    """Check an image in ECR. If its labels cannot be read, that is logged, and the job may be sent.

    Raises:
        UnfitImage: the job could not run in it.
        NotFound: there is no such image.
    """
    from snowcover_launch.aws.registry import Unreadable, labels

    try:
        found = labels(account, uri)
    except Unreadable as why:
        log.warning("Cannot check whether %s fits %s: its labels could not be read (%s).", uri, hw.instance_type, why)
    else:
        refuse_unfit(uri, found, hw)


def refuse_unfit(uri: str, labels: Mapping[str, str], hw: HwConfig) -> None:
    """Raises: UnfitImage: the labels are not what the job needs."""
    machine = hw.instance_type or "this machine"
    if VARIANT not in labels:
        raise UnfitImage(
            f"{uri} has no label {VARIANT}, so it is not an image of this project: use one from "
            "`python -m snowcover.image push`."
        )
    if labels[VARIANT] != hw.image:
        raise UnfitImage(
            f"{uri} is the {labels[VARIANT]} variant, but {machine} needs {hw.image} (hw.image): push that one with "
            f"`python -m snowcover.image push --variant {hw.image}` and set aws.image_uri to it."
        )
    if labels.get(VERSION) != __version__:
        raise UnfitImage(
            f"{uri} holds snowcover {labels.get(VERSION)} but this is {__version__}, whose configs it would refuse: "
            "build and push it from this checkout."
        )
    _refuse_other_code(uri, labels)


def _refuse_other_code(uri: str, labels: Mapping[str, str]) -> None:
    local, image_code = code_digest(), labels.get(CODE)
    if local is None or image_code is None:
        why = "this snowcover is not a git checkout" if local is None else f"the image has no label {CODE}"
        log.info("Cannot check whether %s contains the same code as this checkout: %s.", uri, why)
    elif local != image_code:
        sha, dirty, _ = labels.get(COMMIT, "unknown").partition("-dirty")
        sha = sha[:COMMIT_LENGTH]
        way_back = "" if dirty else f", or go back to its code with `git checkout {sha}`"
        raise UnfitImage(
            f"{uri} was built from other code than this checkout (commit {sha}{', changed' if dirty else ''}), so its "
            "results would be mistaken for those of this code: build and push a new image with `make image` and "
            f"`python -m snowcover.image push`, and set aws.image_uri to what that prints{way_back}."
        )
