"""When a failed attempt is tried again, and how long after: a policy built on tenacity's strategies."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tenacity

from penstock.errors import DeclarationError

ExceptionTypes = type[Exception] | tuple[type[Exception], ...]


def _classes(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, when and for which exceptions a task is tried again.

    The waits are exponential: `base`, 2 × base, 4 × base ... seconds, at most `cap`. They are spent in the
    broker, so nothing waits in a worker.

    Attributes:
        attempts: Attempts in all, the first included. Defaults to 3; 1 means no retry.
        base: Wait after the first failure in seconds, before jitter. Defaults to 1.
        cap: Longest wait in seconds, before jitter. Defaults to 600.
        jitter: `"full"` (the default) draws the wait evenly from 0 to the exponential value ("Exponential
            Backoff And Jitter", M. Brooker, 2015); `"none"` takes the value itself.
        on: The exception class, or a tuple of them, that is tried again. Defaults to `Exception`.
        never: The class or classes that are not, though `on` names them. Defaults to none.

    Raises:
        DeclarationError: A value is out of range; the message names all of them.
    """

    attempts: int = 3
    base: float = 1.0
    cap: float = 600.0
    jitter: str = "full"
    on: ExceptionTypes = Exception
    never: ExceptionTypes = ()

    def __post_init__(self) -> None:
        """Check all values at once."""
        problems = [text for wrong, text in self._rules() if wrong]
        if problems:
            raise DeclarationError("Retry: " + "; ".join(problems))

    def _rules(self) -> list[tuple[bool, str]]:
        types = [*_classes(self.on), *_classes(self.never)]
        return [
            (self.attempts < 1, f"attempts must be at least 1, not {self.attempts}"),
            (not 0 <= self.base < math.inf, f"base must be a number of seconds from 0, not {self.base}"),
            (not self.base <= self.cap < math.inf, f"cap must be finite and at least base, not {self.cap}"),
            (self.jitter not in ("full", "none"), f'jitter must be "full" or "none", not {self.jitter!r}'),
            (
                not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in types),
                "on and never take exception classes",
            ),
        ]

    def retries(self, error: BaseException) -> bool:
        """Whether this exception is one that is tried again."""
        strategy = tenacity.retry_all(
            tenacity.retry_if_exception_type(self.on), tenacity.retry_if_not_exception_type(self.never)
        )
        return bool(strategy(_state(1, error)))

    def delay(self, attempt: int, seed: str) -> float:
        """Seconds to wait after attempt `attempt` failed; the same answer for the same arguments.

        tenacity's own jitter draws from the global random source; here the seed (the job's id) decides.
        """
        if not self.base:
            return 0.0
        # A float as base of the power overflows to the cap at once; an int would grow with the attempt.
        wait = tenacity.wait_exponential(multiplier=self.base, max=self.cap, exp_base=2.0)
        longest = float(wait(_state(attempt)))
        if self.jitter == "none":
            return longest
        return random.Random(f"{seed}/{attempt}").uniform(0.0, longest)  # noqa: S311 -- spreads load, no secret

    def numbers(self) -> dict[str, Any]:
        """What the parent needs to know: everything but the classes."""
        return {"attempts": self.attempts, "base": self.base, "cap": self.cap, "jitter": self.jitter}

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Retry:
        """The policy as the parent sees it."""
        return cls(**numbers)


#: The policy of a task that names none: one attempt.
NO_RETRY = Retry(attempts=1)


def _state(attempt: int, error: BaseException | None = None) -> tenacity.RetryCallState:
    """The state that tenacity's strategies read: the attempt's number and how it ended."""
    state = tenacity.RetryCallState(retry_object=_NOBODY, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    if error is not None:
        state.outcome = tenacity.Future(attempt)
        state.outcome.set_exception(error)
    return state


_NOBODY: Any = None
