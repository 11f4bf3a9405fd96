"""What can go wrong between a client and AWS, on demand."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.aws.responses import Refusal


@dataclass
class _Failure:
    action: str | None
    every: int
    times: int | None
    refusal: Refusal
    seen: int = 0

    def hits(self, action: str) -> bool:
        """Counts a call, and returns whether it fails."""
        if self.action not in (None, action) or self.times == 0:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class _Moment:
    action: str
    number: int
    is_after: bool
    act: Callable[[], None]


@dataclass
class Faults:
    """Counts calls and decides which of them fail. `action` None means every action; `times` None means always."""

    calls: Counter[str] = field(default_factory=Counter)
    """Calls that reached AWS, by action, including refused ones."""
    done: Counter[str] = field(default_factory=Counter)
    """Calls that were carried out, by action."""
    network_is_lost: bool = False
    user_clock_ahead: timedelta = timedelta()
    """How far the user's clock is ahead of AWS's; behind, if negative."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._expired_calls: int | None = 0
        self._conflicts = 0
        self._without_capacity: dict[str, int | None] = {}
        self._failures: list[_Failure] = []
        self._lost_answers: Counter[str] = Counter()
        self._moments: list[_Moment] = []

    def throttle(self, every: int, action: str | None = None, times: int | None = None) -> None:
        """Every n-th call is answered ThrottlingException."""
        self.fail(action, "ThrottlingException", "Rate exceeded", every=every, times=times)

    def fail(
        self, action: str | None, code: str, message: str, every: int = 1, times: int | None = None, status: int = 400
    ) -> None:
        """Every n-th call is answered with this error."""
        self._failures.append(_Failure(action, every, times, Refusal(code, message, status)))

    def lose_answers(self, action: str, times: int = 1) -> None:
        """The next calls are carried out, but the connection breaks before the response."""
        self._lost_answers[action] += times

    def expire(self, calls: int | None) -> None:
        """The next calls, or all from now on, find the credentials expired."""
        self._expired_calls = calls

    def no_capacity(self, instance_type: str, times: int | None = None) -> None:
        """AWS has no capacity of this type for the next jobs, or for all from now on (0: it has again)."""
        self._without_capacity[instance_type] = times

    def lacks_capacity(self, instance_type: str) -> bool:
        """Whether there is no capacity for the current job; counts it."""
        with self._lock:
            left = self._without_capacity.get(instance_type, 0)
            if left:
                self._without_capacity[instance_type] = left - 1
            return left != 0

    def conflict(self, times: int) -> None:
        """The next conditional writes to S3 conflict with another write."""
        self._conflicts = times

    def conflicts(self) -> bool:
        """Whether the current conditional write conflicts; counts it."""
        with self._lock:
            meets = self._conflicts > 0
            self._conflicts -= meets
            return meets

    def is_expired(self) -> bool:
        """Whether the credentials are expired for the current call; counts it."""
        with self._lock:
            is_expired = self._expired_calls != 0
            if self._expired_calls:
                self._expired_calls -= 1
            return is_expired

    def now(self) -> datetime:
        """The time by AWS's clock."""
        return datetime.now(UTC) - self.user_clock_ahead

    def when(self, action: str, number: int, act: Callable[[], None], after: bool = False) -> None:
        """Calls `act` when the n-th call of an action arrives, or just after it was carried out."""
        self._moments.append(_Moment(action, number, after, act))

    def recover(self) -> None:
        """Throttling and failures end."""
        self._failures.clear()
        self._lost_answers.clear()

    def arrive(self, action: str) -> Refusal | None:
        """Counts a call; returns the refusal, if it is to be refused."""
        with self._lock:
            self.calls[action] += 1
            number = self.calls[action]
            hits = [failure for failure in self._failures if failure.hits(action)]  # each counts the call
        self._act(action, number, is_after=False)
        return hits[0].refusal if hits else None

    def carried_out(self, action: str) -> bool:
        """Counts a call that was carried out; returns whether its response is delivered."""
        with self._lock:
            self.done[action] += 1
            number = self.done[action]
            is_lost = self._lost_answers[action] > 0
            self._lost_answers[action] -= is_lost
        self._act(action, number, is_after=True)
        return not is_lost

    def _act(self, action: str, number: int, is_after: bool) -> None:
        for moment in self._moments:
            if (moment.action, moment.number, moment.is_after) == (action, number, is_after):
                moment.act()
