"""How many retries a task may make beside its ordinary traffic, so that an outage causes no storm."""

from __future__ import annotations

from typing import Final

#: Retries a second that are always allowed: a task with little traffic could not recover otherwise.
FLOOR_PER_S: Final = 10.0
#: Most that can be saved up, in retries. It bounds the burst after a quiet time.
MOST_SAVED: Final = 1000.0
#: A job that is held up waits a quarter as long as it has been in trouble, at least and at most this many
#: milliseconds: so that it comes back soon after a short trouble, and seldom during a long one.
HOLD_UP_MS: Final = (2_000, 300_000)
#: The most for one that waits for the quarantine slot: those jobs are few, and the slot must not stand idle.
QUARANTINE_MS: Final = 15_000


class RetryBudget:
    """A bucket into which first attempts pay a share and from which retries take one.

    The rule is that of Finagle's RetryBudget ("Finagle: retries", Twitter 2016), with its floor.

    Args:
        share: What a first attempt pays, 0 to 1; None: retries are never held up.
        now_s: The present, by any clock that does not jump.
    """

    def __init__(self, share: float | None, now_s: float) -> None:
        self._share = share
        self._saved = FLOOR_PER_S
        self._at_s = now_s

    def pay(self) -> None:
        """A first attempt starts."""
        if self._share is not None and self._saved < MOST_SAVED:
            self._saved += self._share

    def take(self, now_s: float) -> bool:
        """A retry wants to start; whether it may."""
        if self._share is None:
            return True
        self._saved = min(MOST_SAVED, self._saved + FLOOR_PER_S * max(0.0, now_s - self._at_s))
        self._at_s = now_s
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def hold_up_ms(trouble_ms: int, *, most_ms: int = HOLD_UP_MS[1]) -> int:
    """How long a job waits that cannot start now, if it has been in trouble for `trouble_ms` milliseconds."""
    return max(HOLD_UP_MS[0], min(most_ms, trouble_ms // 4))
