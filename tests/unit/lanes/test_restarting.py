"""Restarting a lane for new code: every child gets it, and code that cannot be imported does not take the lane down."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.lanes.observed import MODULE, running, told
from tests.unit.waiting import until, within_deadline

#: A module that says when it has been read, and then waits while the file `closed` is there.
GATED = MODULE + "VERSION = 1\nopen('was read', 'w').close()\nwhile os.path.exists('closed'): time.sleep(0.002)\n"
NEWER = MODULE + "VERSION = 2\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="preload is for Linux")


@pytest.mark.parametrize("preload", [False, pytest.param(True, marks=linux)])
def test_a_child_that_starts_when_the_code_changes_is_replaced_as_well(lane_tasks: Path, preload: bool) -> None:
    code, was_read, closed = lane_tasks / "lane_tasks.py", lane_tasks / "was read", lane_tasks / "closed"
    code.write_text(GATED)

    async def test() -> None:
        async with running(slots=1, preload=preload) as observed:
            # Given a child that starts, and has read the code that there was
            was_read.unlink()
            closed.touch()
            observed.lane.restart()
            await until(was_read.exists)
            assert observed.lane.states() == {"starting": 1}

            # When there is new code
            code.write_text(NEWER)
            observed.lane.restart()
            closed.unlink()

            # Then that child is replaced when it is ready, too
            await until(lambda: observed.lane.exits == {"recycled": 2} and observed.lane.states() == {"idle": 1})
            assert await told(observed, "VERSION") == 2

    within_deadline(test())
