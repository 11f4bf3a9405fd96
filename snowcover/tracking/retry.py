"""Waiting for a store that is locked or unreachable."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from snowcover.errors import UserError, first_line
from snowcover.secrets import masked, masked_uri, secrets_in
from snowcover.tracking.errors import cannot_record, passes

log = logging.getLogger(__name__)

T = TypeVar("T")
RETRY_S = 120.0  # for one outage
LOG_AFTER_S = 5.0
LONGEST_PAUSE_S = 10.0


class Retry:
    """Calls a store, and waits for it where what keeps it may pass. The first call of an outage waits; while that
    outage lasts, later calls try once, until `renew` says that waiting is worth it again."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._left_s = RETRY_S

    def __call__(self, act: Callable[[], T], waits_for: Callable[[BaseException], bool] = passes) -> T:
        """What `act` returns. It may be called several times.

        Args:
            waits_for: which errors are waited out.

        Raises:
            CannotRecord: the store refuses, or stays locked or unreachable for longer than is waited.
        """
        started, pause, is_logged = time.monotonic(), 0.5, False
        while True:
            try:
                result = act()
            except UserError:
                raise
            except Exception as error:
                waited = time.monotonic() - started
                if not waits_for(error) or waited + pause > self._left_s:
                    self._left_s = 0.0 if waits_for(error) else self._left_s
                    raise cannot_record(error, self._uri) from error
                if not is_logged and waited + pause > LOG_AFTER_S:
                    is_logged = True
                    log.info("Waiting for MLflow at %s (%s).", masked_uri(self._uri), self._reason(error))
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self._left_s = RETRY_S
                return result

    def _reason(self, error: BaseException) -> str:
        return masked(first_line(error), secrets_in(self._uri))

    def renew(self, seconds: float | None = None) -> None:
        """Wait again at the next failure."""
        self._left_s = RETRY_S if seconds is None else seconds
