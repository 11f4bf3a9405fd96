"""Whether an image is the one that a machine needs: told by its labels, before anything is paid for."""

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
    """The image is not one of ours, or of another variant or version than the job needs."""


def check_image(account: "Account", uri: str, hw: HwConfig) -> None:
    """Look at an image in ECR; where its labels cannot be read, that is said, and the job may be sent.

    Raises:
        UnfitImage: a job could not run in it.
        NotFound: it is not there.
    """
    from snowcover_launch.aws.registry import Unreadable, labels

    try:
        found = labels(account, uri)
    except Unreadable as why:
        log.warning("Whether %s fits %s is not known: its labels could not be read (%s).", uri, hw.instance_type, why)
    else:
        refuse_unfit(uri, found, hw)


def refuse_unfit(uri: str, labels: Mapping[str, str], hw: HwConfig) -> None:
    """Raises: UnfitImage: what the labels say is not what the job needs."""
    machine = hw.instance_type or "this machine"
    if VARIANT not in labels:
        raise UnfitImage(
            f"{uri} has no label {VARIANT}, so it is no image of this project: give one that "
            "`python -m snowcover.image push` made."
        )
    if labels[VARIANT] != hw.image:
        raise UnfitImage(
            f"{uri} is the {labels[VARIANT]} variant and {machine} needs {hw.image} (hw.image): push that one with "
            f"`python -m snowcover.image push --variant {hw.image}` and set aws.image_uri to it."
        )
    if labels.get(VERSION) != __version__:
        raise UnfitImage(
            f"{uri} holds snowcover {labels.get(VERSION)} and this is {__version__}, whose configs it would refuse: "
            "build and push it from this checkout."
        )
    _refuse_other_code(uri, labels)


def _refuse_other_code(uri: str, labels: Mapping[str, str]) -> None:
    here, there = code_digest(), labels.get(CODE)
    if here is None or there is None:
        why = "this snowcover is no git checkout" if here is None else f"the image has no label {CODE}"
        log.info("Whether %s holds the code that is here was not compared: %s.", uri, why)
    elif here != there:
        sha, dirty, _ = labels.get(COMMIT, "unknown").partition("-dirty")
        sha = sha[:COMMIT_LENGTH]
        back = "" if dirty else f", or go back to its code with `git checkout {sha}`"
        raise UnfitImage(
            f"{uri} was made from other code than is here (of commit {sha}{', changed' if dirty else ''}), and its "
            "results would be taken for those of the code here: make and push an image of it with `make image` and "
            f"`python -m snowcover.image push`, and set aws.image_uri to what that prints{back}."
        )
