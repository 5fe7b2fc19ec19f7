"""How worn a child is: what it has done, how old it is and how far it has grown."""

from __future__ import annotations

import random

from penstock.domain.recycle import Recycle


class Wear:
    """Counts for one child, from the moment in which it is ready.

    Args:
        recycle: When a child of its lane is to be replaced; this one has its own share of chance in it. None: never.
        now: In seconds, as everywhere below.
    """

    def __init__(self, recycle: Recycle | None, now: float) -> None:
        #: Jobs that it has answered.
        self.jobs = 0
        #: Bytes that it had resident when somebody looked last; 0: nobody has.
        self.rss = 0
        self._recycle = recycle and recycle.for_child(random.random())  # noqa: S311
        self._since = now

    def due(self, now: float) -> bool:
        """Whether it is to be replaced though nothing is wrong with it."""
        return self._recycle is not None and self._recycle.due(jobs=self.jobs, age_s=now - self._since, memory=self.rss)

    @property
    def weighed(self) -> bool:
        """Whether its bytes matter."""
        return self._recycle is not None and self._recycle.memory is not None
