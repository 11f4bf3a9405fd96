"""Map snow from satellite tiles: configured by Hydra, trained with Lightning, recorded in MLflow."""

from importlib.metadata import version

__version__ = version("snowcover")
