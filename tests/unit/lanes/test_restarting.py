"""Restarting a lane for new code: every child gets it, and code that cannot be imported does not take the lane down."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.lanes.observed import MODULE, job, running, sharing, told, values
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


def test_code_that_cannot_be_imported_costs_no_more_children_than_are_replaced_at_once(
    lane_tasks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = lane_tasks / "lane_tasks.py"

    async def test() -> None:
        async with running(slots=4) as observed:
            # When there is new code that cannot be imported
            code.write_text("import this_is_not_there\n")
            observed.lane.restart()
            await until(lambda: observed.lane.states()["broken"] == 1)
            assert "child cannot start and is broken; one is tried every 60 s" in caplog.messages

            # Then the other children keep the old one, and work
            await observed.looked()
            await observed.looked()
            assert observed.lane.states() == {"broken": 1, "idle": 3}
            assert observed.lane.trouble is None
            assert values(await observed.run(*(job(number) for number in range(1, 9)))) == {n: n for n in range(1, 9)}

            # When it is mended, then the broken one is tried at once, and all of them have it
            code.write_text(NEWER)
            observed.lane.restart()
            await until(lambda: observed.lane.exits["recycled"] == 4 and observed.lane.states() == {"idle": 4})
            assert await told(observed, "VERSION") == 2

    within_deadline(test())


def test_the_child_of_a_shared_lane_goes_on_while_none_can_follow_it(lane_tasks: Path) -> None:
    code = lane_tasks / "lane_tasks.py"

    async def test() -> None:
        async with sharing(width=2) as observed:
            (old,) = observed.pids

            # When there is new code that cannot be imported
            code.write_text("import this_is_not_there\n")
            observed.lane.restart()
            await until(lambda: observed.lane.states() == {"idle": 1, "broken": 1})

            # Then nothing is in the way of a job
            assert observed.lane.trouble is None
            assert observed.broken == []
            assert values(await observed.run(job(1), job(2))) == {1: 1, 2: 2}
            assert observed.pids == [old]

            # When it is mended, then another child takes over
            code.write_text(NEWER)
            observed.lane.restart()
            await until(lambda: observed.lane.states() == {"idle": 1})
            assert observed.pids != [old]
            assert await told(observed, "VERSION") == 2

    within_deadline(test())
