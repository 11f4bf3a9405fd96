"""Fixtures of the images' tests."""

from tests.image.engine import built, engine

__all__ = ["built", "engine"]
