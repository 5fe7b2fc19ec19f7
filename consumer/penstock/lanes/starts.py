"""How the children of one lane start, and what each of them has for itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from penstock.domain.confine import Confine, Start
from penstock.domain.outcome import Evidence
from penstock.domain.task import QueueSpec
from penstock.lanes.child import Child
from penstock.lanes.frames import Frame
from penstock.lanes.tempdir import TempDirs


class Starts:
    """Starts the children of one lane.

    Args:
        spec: The queue.
        on_change: Called when `idle` may have become true.
    """

    def __init__(self, spec: QueueSpec, on_change: Callable[[], None]) -> None:
        self._lane = spec.lane
        self._tempdirs = TempDirs(on_change)
        #: How many children have a core for themselves, by its number.
        self._on_core: Counter[int] = Counter()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be done for children that are gone."""
        return not self._tempdirs.going

    def start(self, *, on_frames: Callable[[list[Frame]], None], on_exit: Callable[[int, Evidence], None]) -> Child:
        """A child that has started; the arguments are those of Child.

        Raises:
            OSError: The system cannot.
        """
        with ExitStack() as undo:
            start = self._begin(undo)
            leave = ExitStack()

            def ended(status: int, evidence: Evidence) -> None:
                leave.close()
                on_exit(status, evidence)

            child = Child([self._lane.kind], start=start, python=self._lane.python, on_frames=on_frames, on_exit=ended)
            child.start()
            # What a child that cannot start leaves at once, one that has started leaves at its end.
            leave.push(undo.pop_all())
        return child

    def _begin(self, undo: ExitStack) -> Start:
        """What the next child has; `undo` takes it back."""
        confine = self._lane.confine
        core = tempdir = None
        if confine is not None and confine.spread:
            core = self._free_core(confine)
            self._on_core[core] += 1
            undo.callback(self._on_core.subtract, [core])
        if confine is not None and confine.tempdir:
            tempdir = self._tempdirs.make()
            undo.callback(self._tempdirs.remove, tempdir)
        return Start(confine=confine, core=core, tempdir=tempdir)

    def _free_core(self, confine: Confine) -> int:
        """The core that the fewest children have."""
        cores = confine.cores or sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
        return min(cores, key=lambda core: self._on_core[core])
