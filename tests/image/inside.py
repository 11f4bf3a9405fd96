"""Plugin for pytest within an image: what tests/conftest.py gives, less what tests' servers and browsers need."""

from tests.conftest import _nothing_of_another_test, empty_database, site

__all__ = ["_nothing_of_another_test", "empty_database", "site"]
