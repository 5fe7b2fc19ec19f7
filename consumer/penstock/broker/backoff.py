"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from typing import Final

_BASE_S: Final = 0.5


def backoff(tries: int, cap_s: float) -> float:
    """Seconds before the next try after `tries` failed ones, with full jitter: 0 to 0.5 × 2^tries, at most the cap.

    The jitter spreads a fleet of workers that lost the same broker at the same moment.
    """
    return random.uniform(0.0, min(cap_s, _BASE_S * 2.0 ** min(tries, 32)))  # noqa: S311 -- no secret
