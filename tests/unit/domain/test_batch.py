"""Batch: what may be said, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Batch, DeclarationError


def one(x: int) -> int:
    return x


def test_a_batch_that_says_its_size_alone_waits_five_milliseconds() -> None:
    assert Batch(size=2) == Batch(size=2, wait=0.005, of=None)


@pytest.mark.parametrize("values", [{"size": 2, "wait": 0}, {"size": 1024, "wait": 60}, {"size": 64, "of": one}])
def test_these_values_may_be_said(values: dict[str, Any]) -> None:
    batch = Batch(**values)
    assert Batch.from_numbers(batch.numbers()) == Batch(size=batch.size, wait=batch.wait)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 1}, "size must be from 2 to 1024, not 1"),
        ({"size": 1025}, "size must be"),
        ({"size": 8.0}, "not 8.0"),
        ({"size": True}, "not True"),
        ({"size": 2, "wait": -0.001}, "wait must be a number of seconds from 0 to 60, not -0.001"),
        ({"size": 2, "wait": 61}, "wait must be"),
        ({"size": 2, "wait": float("nan")}, "wait must be"),
        ({"size": 2, "of": "norm"}, "of must be a function, or left out, not 'norm'"),
    ],
)
def test_these_values_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Batch(**values)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DeclarationError, match=r"size .*; wait .*"):
        Batch(size=0, wait=-1)
