"""What every store does with items and progress: the latest start's stay, and a repetition changes nothing."""

from __future__ import annotations

import pytest

from tests.conformance.store_rigs import Caller, StoreRig
from tests.conformance.test_store import A, B, Play, play, rig
from tests.unit.waiting import until

__all__ = ["play", "rig"]

FIRST, LATER = (1).to_bytes(8, "big"), (2**40).to_bytes(8, "big")


def test_items_lie_behind_one_another_after_their_fence(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.append(A, 1, 0, b"first")
        await caller.answers(1)
        caller.append(A, 1, 5, b"\x00second")
        caller.append(B, 2**40, 0, bytes(range(256)))
        assert await caller.answers(3) == [True] * 3
        assert rig.items(A) == (FIRST + b"first\x00second", None)
        assert rig.items(B) == (LATER + bytes(range(256)), None)

    play(test)


def test_the_same_call_again_changes_nothing(play: Play) -> None:
    """The answer of a call may get lost while what it asked for is done."""

    async def test(caller: Caller, rig: StoreRig) -> None:
        for count, (at, items) in enumerate(((0, b"one"), (3, b"two"), (0, b"one"), (3, b"two"))):
            caller.append(A, 1, at, items)
            await caller.answers(count + 1)
        assert await caller.answers(4) == [True] * 4
        assert rig.items(A) == (FIRST + b"onetwo", None)

    play(test)


def test_a_later_start_replaces_all_and_an_earlier_one_writes_no_more(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given the items of a start, and those of a later one
        caller.append(A, 1, 0, b"a longer one")
        await caller.answers(1)
        caller.append(A, 2**40, 0, b"new")
        await caller.answers(2)

        # When the earlier one goes on, or repeats its first
        caller.append(A, 1, 12, b"old")
        caller.append(A, 1, 0, b"a longer one")

        # Then it is refused
        assert await caller.answers(4) == [True, True, False, False]
        assert rig.items(A) == (LATER + b"new", None)

    play(test)


@pytest.mark.parametrize("fences", [(0x7F, 0x80), (0xFF, 0x100), (0x0A, 0x0D), (2**31, 2**63)])
def test_fences_are_compared_as_numbers(play: Play, fences: tuple[int, int]) -> None:
    """Byte by byte: the order of texts would depend on where the server runs."""

    async def test(caller: Caller, rig: StoreRig) -> None:
        earlier, later = fences
        for count, (fence, items) in enumerate(((earlier, b"1"), (later, b"2"), (earlier, b"3"))):
            caller.append(A, fence, 0, items)
            await caller.answers(count + 1)
        assert await caller.answers(3) == [True, True, False]
        assert rig.items(A) == (later.to_bytes(8, "big") + b"2", None)

    play(test)


def test_what_would_leave_a_gap_is_refused(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.append(A, 1, 5, b"second")
        caller.append(B, 1, 0, b"one")
        await caller.answers(2)
        caller.append(B, 1, 7, b"three")
        caller.append(B, 2, 3, b"two")
        await caller.answers(4)
        assert sorted(caller.told) == [(A, False), (B, False), (B, False), (B, True)]
        assert rig.items(A) == (None, None)
        assert rig.items(B) == (FIRST + b"one", None)

    play(test)


def test_of_progress_the_newest_stays_but_for_an_earlier_start(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        for count, (fence, body) in enumerate(((1, b"half"), (1, b"all"), (2**40, b"none"), (1, b"all"))):
            caller.progress(A, fence, body)
            await caller.answers(count + 1)
        assert await caller.answers(4) == [True, True, True, False]
        assert rig.items(A) == (None, LATER + b"none")

    play(test)


def test_the_requester_is_told_of_every_write(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.append(A, 1, 0, b"one", "shop.web-1")
        await caller.answers(1)
        caller.progress(A, 1, b"half", "shop.web-1")
        await caller.answers(2)
        caller.append(A, 0, 0, b"old", "shop.web-1")
        caller.append(B, 1, 0, b"one")
        await caller.answers(4)
        await until(lambda: len(rig.told()) >= 2)
        assert rig.told() == [("shop.web-1", A)] * 2

    play(test)


def test_while_the_store_is_away_calls_wait(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given a store that was lost
        caller.append(A, 1, 0, b"one")
        await caller.answers(1)
        rig.lose()

        # When more is to be kept
        caller.append(A, 1, 3, b"two")
        await until(lambda: not caller.store.up)
        assert caller.store.pending >= 1
        assert len(caller.told) == 1

        # Then it is, when the store is back
        rig.restore()
        assert await caller.answers(2) == [True, True]
        assert rig.items(A) == (FIRST + b"onetwo", None)
        await until(lambda: caller.store.up)

    play(test)
