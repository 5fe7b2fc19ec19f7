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
from penstock.lanes.template import Template


class Starts:
    """Starts the children of one lane.

    Args:
        spec: The queue.
        on_change: Called when `idle` may have become true.
    """

    def __init__(self, spec: QueueSpec, on_change: Callable[[], None]) -> None:
        self._spec = spec
        self._lane = spec.lane
        self._on_change = on_change
        #: Those that have not ended yet, and what they leave when they do.
        self._templates: dict[Template, ExitStack] = {}
        #: That of the next child; None: it brings a new one.
        self._current: Template | None = None
        self._tempdirs = TempDirs(on_change)
        #: How many children have a core for themselves, by its number.
        self._on_core: Counter[int] = Counter()

    @property
    def idle(self) -> bool:
        """Whether there is no template, and nothing left to be done for children that are gone."""
        return not (self._templates or self._tempdirs.going)

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

            child = Child(
                [self._lane.kind],
                start=start,
                python=self._lane.python,
                on_frames=on_frames,
                on_exit=ended,
                template=self._template() if self._lane.preload else None,
            )
            child.start()
            # What a child that cannot start leaves at once, one that has started leaves at its end.
            leave.push(undo.pop_all())
        return child

    def renew(self) -> None:
        """What starts from now on has the code as it is then."""
        if self._current is not None:
            self._current.retire()
            self._current = None

    def stop(self) -> None:
        """Nothing starts any more."""
        for template in self._templates:
            template.kill()

    def _template(self) -> Template:
        """The template of the next child, started if there is none."""
        if self._current is None:
            with ExitStack() as undo:
                confine = self._lane.confine
                # A library that counts the cores in its import is to find as many as the children have.
                core = self._free_core(confine) if confine is not None and confine.spread else None
                start = Start(confine=confine, core=core, tempdir=self._tempdir(confine, undo))
                template = Template(self._spec, start, self._template_ended)
                template.launch()
                self._templates[template] = undo.pop_all()
            self._current = template
        return self._current

    def _template_ended(self, template: Template) -> None:
        self._templates.pop(template).close()
        if self._current is template:
            self._current = None
        self._on_change()

    def _tempdir(self, confine: Confine | None, undo: ExitStack) -> str | None:
        """A directory for one process; `undo` removes it."""
        if confine is None or not confine.tempdir:
            return None
        made = self._tempdirs.make()
        undo.callback(self._tempdirs.remove, made)
        return made

    def _begin(self, undo: ExitStack) -> Start:
        """What the next child has; `undo` takes it back."""
        confine = self._lane.confine
        core = None
        if confine is not None and confine.spread:
            core = self._free_core(confine)
            self._on_core[core] += 1
            undo.callback(self._on_core.subtract, [core])
        return Start(confine=confine, core=core, tempdir=self._tempdir(confine, undo))

    def _free_core(self, confine: Confine) -> int:
        """The core that the fewest children have."""
        cores = confine.cores or sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
        return min(cores, key=lambda core: self._on_core[core])
