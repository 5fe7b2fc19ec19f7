"""When a failed attempt is tried again, and how long after: a policy built on tenacity's strategies."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import tenacity

from penstock.errors import DeclarationError

ExceptionTypes = type[Exception] | tuple[type[Exception], ...]

#: Longest wait that may be spent in a slot, in seconds: everything longer waits in the broker.
MAX_IN_SLOT_S: Final = 1.0
#: Longest wait of all, in seconds: thirty-one years. Milliseconds of it fit into any integer on the way.
MAX_WAIT_S: Final = 1e9


class RetryAfter(Exception):  # noqa: N818 -- says what is to happen, not what went wrong
    """Raised by a task: try this job again in `seconds` seconds.

    It counts as a failure: the policy's `attempts` and `elapsed`, and the job's deadline, bound it; `on` and
    `never` do not matter. A task that names no policy may raise it twice.

    Args:
        seconds: From now, at least 0 and at most 1e9; the job waits in the broker.
        reason: For the log and the dead queue.
    """

    #: What a class of the user's waits that does not call `__init__`.
    seconds: float = 0.0

    def __init__(self, seconds: float, reason: str = "") -> None:
        if not 0 <= seconds <= MAX_WAIT_S:
            raise ValueError(f"RetryAfter takes a number of seconds from 0 to {MAX_WAIT_S:g}, not {seconds}")
        super().__init__(reason or f"try again in {seconds:g} s")
        self.seconds = float(seconds)


class Reject(Exception):  # noqa: N818 -- says what is to happen, not what went wrong
    """Raised by a task: this job cannot succeed, do not try it again. Its caller gets the code REJECTED."""


def _classes(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, when and for which exceptions a task is tried again.

    A job has three budgets, so that one kind of trouble does not use up another's: failures (the function
    raised), crashes (its child died) and hangs (it ran longer than its timeout).

    The waits are exponential: `base`, 2 × base, 4 × base ... seconds, at most `cap`. They are spent in the
    broker, so nothing waits in a worker.

    Attributes:
        attempts: Failures after which the job is dead. Defaults to 3; 1 means no retry.
        crashes: Crashes after which it is dead. Defaults to 3. After the first one the job runs alone.
        hangs: Timeouts after which it is dead. Defaults to 2.
        base: Wait after the first attempt in seconds, before jitter. Defaults to 1.
        cap: Longest wait in seconds, before jitter. Defaults to 600; at most 1e9.
        jitter: `"full"` (the default) draws the wait evenly from 0 to the exponential value ("Exponential
            Backoff And Jitter", M. Brooker, 2015); `"none"` takes the value itself.
        elapsed: Seconds after the first failed attempt beyond which no further one is scheduled. Defaults to
            None: no such limit.
        share: Most retries per first attempt of this task, in one worker and averaged over its recent traffic,
            so that an outage behind the task does not multiply its load; ten retries a second are always
            allowed. What exceeds it waits two seconds more. Defaults to 0.2; None: no limit.
        in_slot: Waits up to this many seconds are spent in the slot, which is faster than the broker's
            shortest level of 1 s. The task's timeout covers all of it. Defaults to 0: none; at most 1.
        on: The exception class, or a tuple of them, that is tried again. Defaults to `Exception`.
        never: The class or classes that are not, though `on` names them. Defaults to none.

    Raises:
        DeclarationError: A value is out of range; the message names all of them.
    """

    attempts: int = 3
    crashes: int = 3
    hangs: int = 2
    base: float = 1.0
    cap: float = 600.0
    jitter: str = "full"
    elapsed: float | None = None
    share: float | None = 0.2
    in_slot: float = 0.0
    on: ExceptionTypes = Exception
    never: ExceptionTypes = ()

    def __post_init__(self) -> None:
        """Check all values at once."""
        problems = [text for wrong, text in self._rules() if wrong]
        if problems:
            raise DeclarationError("Retry: " + "; ".join(problems))

    def _rules(self) -> list[tuple[bool, str]]:
        types = [*_classes(self.on), *_classes(self.never)]
        counts = ("attempts", "crashes", "hangs")
        return [
            *((getattr(self, n) < 1, f"{n} must be at least 1, not {getattr(self, n)}") for n in counts),
            (not 0 <= self.base < math.inf, f"base must be a number of seconds from 0, not {self.base}"),
            (
                not self.base <= self.cap <= MAX_WAIT_S,
                f"cap must be at least base and at most {MAX_WAIT_S:g} s, not {self.cap}",
            ),
            (self.jitter not in ("full", "none"), f'jitter must be "full" or "none", not {self.jitter!r}'),
            (
                self.elapsed is not None and not 0 < self.elapsed < math.inf,
                f"elapsed must be a number of seconds above 0 or None, not {self.elapsed}",
            ),
            (
                self.share is not None and not 0 <= self.share <= 1,
                f"share must be between 0 and 1 or None, not {self.share}",
            ),
            (
                not 0 <= self.in_slot <= MAX_IN_SLOT_S,
                f"in_slot must be between 0 and {MAX_IN_SLOT_S:g} s, not {self.in_slot}",
            ),
            (
                not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in types),
                "on and never take exception classes",
            ),
        ]

    def but_never(self, kind: type[Exception]) -> Retry:
        """The same policy, which does not try again after this kind of exception."""
        return replace(self, never=(*_classes(self.never), kind))

    def retries(self, error: BaseException) -> bool:
        """Whether this exception is one that is tried again."""
        if isinstance(error, RetryAfter | Reject):
            return isinstance(error, RetryAfter)
        strategy = tenacity.retry_all(
            tenacity.retry_if_exception_type(self.on), tenacity.retry_if_not_exception_type(self.never)
        )
        return bool(strategy(_state(1, error=error)))

    def wait_after(self, error: BaseException, attempt: int, seed: str) -> float:
        """Seconds to wait after attempt `attempt` raised `error`: what it asks for, or the policy's delay."""
        return error.seconds if isinstance(error, RetryAfter) else self.delay(attempt, seed)

    def delay(self, attempt: int, seed: str) -> float:
        """Seconds to wait after attempt `attempt` failed; the same answer for the same arguments.

        tenacity's own jitter draws from the global random source; here the seed (the job's id) decides, through
        a hash, so that any language gives the same answer (contracts/vectors/backoff).
        """
        if not self.base:
            return 0.0
        # A float as base of the power overflows to the cap at once; an int would grow with the attempt.
        wait = tenacity.wait_exponential(multiplier=self.base, max=self.cap, exp_base=2.0)
        longest = float(wait(_state(attempt)))
        return longest if self.jitter == "none" else longest * _fraction(seed, attempt)

    def out_of_time(self, elapsed_s: float) -> bool:
        """Whether an attempt that starts so many seconds after the first one failed is too late."""
        return self.elapsed is not None and bool(
            tenacity.stop_after_delay(self.elapsed)(_state(1, elapsed_s=elapsed_s))
        )

    def in_slot_retrying(
        self,
        *,
        attempt: int,
        failures: int,
        seed: str,
        deadline_ms: int | None,
        coroutine: bool = False,
        sleep: Callable[[float], Any] | None = None,
    ) -> Any:
        """Calls a function again within the slot while the waits are short enough; raises its last exception.

        Args:
            attempt: Number of the first attempt.
            failures: Failures of the job before it.
            seed: The job's id.
            deadline_ms: Unix ms after which no further try begins; None: no deadline.
            coroutine: Whether the function is a coroutine function, and calling it has to be awaited.
            sleep: How to wait. Defaults to the usual way.
        """

        def wait_s(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return self.wait_after(error or Exception(), attempt + state.attempt_number - 1, seed)

        def goes_on(state: tenacity.RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            if error is None or not self.retries(error) or wait_s(state) > self.in_slot:
                return False
            return deadline_ms is None or (time.time() + wait_s(state)) * 1000 < deadline_ms

        kind: Any = tenacity.AsyncRetrying if coroutine else tenacity.Retrying
        return kind(
            stop=tenacity.stop_after_attempt(max(1, self.attempts - failures)),
            wait=wait_s,
            retry=goes_on,
            sleep=sleep or (asyncio.sleep if coroutine else time.sleep),
            reraise=True,
        )

    def numbers(self) -> dict[str, Any]:
        """What the parent needs to know: everything but the classes."""
        names = ("attempts", "crashes", "hangs", "base", "cap", "jitter", "elapsed", "share", "in_slot")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Retry:
        """The policy as the parent sees it."""
        return cls(**numbers)


#: The policy of a task that names none: no exception is tried again unless the task asks for it.
NO_RETRY: Final = Retry(on=(), hangs=1)


def _fraction(seed: str, attempt: int) -> float:
    """A number from 0 to below 1: the first 53 bits of SHA-256 of `<seed>/<attempt>`."""
    digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def _state(attempt: int, *, error: BaseException | None = None, elapsed_s: float = 0.0) -> tenacity.RetryCallState:
    """The state that tenacity's strategies read: the attempt's number, how it ended, and how long all took."""
    state = tenacity.RetryCallState(retry_object=_NOBODY, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    state.start_time, state.outcome_timestamp = 0.0, elapsed_s
    if error is not None:
        state.outcome = tenacity.Future(attempt)
        state.outcome.set_exception(error)
    return state


_NOBODY: Any = None
