"""Plugin for pytest within an image: what tests/conftest.py gives, without the servers and browsers."""

from tests.conftest import _nothing_of_another_test, empty_database, site

__all__ = ["_nothing_of_another_test", "empty_database", "site"]
