"""The story of one command: what is scored, what was found, and where it is written."""

from snowcover.evaluate.config import Config
from snowcover.evaluate.results import Evaluation


def make_report(config: Config) -> None:
    """Score what the config names; write the report, its figures and evaluation.csv; record it in MLflow.

    Raises: UserError
    """
    evaluate_maps(config)


def evaluate_maps(config: Config) -> Evaluation:
    """Maps against a reference.

    Raises: UserError
    """
    raise NotImplementedError
