"""What several tests of evaluate share."""

import pytest

from snowcover.evaluate.figures import Picture, draw_figures
from tests.evaluate.example import small


@pytest.fixture(scope="session")
def pictures() -> list[Picture]:
    """The figures of the small example, drawn once."""
    return draw_figures(small())
