"""How long it takes until jobs flow again, from when jobs ended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

#: A window in which jobs are counted, in ns.
_WINDOW_NS = 200_000_000
#: Jobs flow again when a window has at least this share of what it had before the fault.
_SHARE = 0.5


def recovery(ends: Sequence[int], *, harmed_ns: int, healed_ns: int) -> dict[str, float | None]:
    """Recovery times in seconds.

    Args:
        ends: When executions ended, Unix ns, ascending.
        harmed_ns: When the first fault began.
        healed_ns: When the last one had healed.

    Returns:
        `recovery_s`: from healing until jobs flow as before, or until all have ended.
        `gap_s`: the longest time from the first fault on in which no job ended.
    """
    if not ends:
        return {"recovery_s": None, "gap_s": None}
    before = bisect_left(ends, harmed_ns)
    rate = before / max(1, harmed_ns - ends[0]) * _WINDOW_NS
    after = [at for at in ends if at >= healed_ns]
    back_ns = after[-1] if after else healed_ns
    for first, at in enumerate(after):
        if bisect_left(after, at + _WINDOW_NS) - first >= rate * _SHARE:
            back_ns = at
            break
    disturbed = [harmed_ns, *ends[before:]]
    gap = max((later - earlier for earlier, later in pairwise(disturbed)), default=0)
    return {"recovery_s": round((back_ns - healed_ns) / 1e9, 2), "gap_s": round(gap / 1e9, 2)}
