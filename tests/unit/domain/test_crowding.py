"""A container that is nearly full: who has to end, and when nobody has."""

from __future__ import annotations

import pytest

from penstock.domain.crowding import FULL, Reading, largest, sentence

MIB = 2**20
LIMIT = 1000 * MIB


@pytest.mark.parametrize(("used", "full"), [(0, False), (919, False), (920, False), (921, True), (1000, True)])
def test_a_container_is_full_above_92_percent_of_its_limit(used: int, full: bool) -> None:
    assert FULL == 0.92
    assert Reading(used * MIB, LIMIT).full is full


def test_the_largest_child_ends() -> None:
    assert largest(Reading(950 * MIB, LIMIT), {1: 200 * MIB, 2: 400 * MIB, 3: 100 * MIB}) == 2


def test_nobody_ends_while_there_is_room() -> None:
    assert largest(Reading(900 * MIB, LIMIT), {1: 800 * MIB}) is None


@pytest.mark.parametrize("children", [{}, {1: 100 * MIB}, {1: 200 * MIB, 2: 200 * MIB}])
def test_nobody_ends_for_what_others_have_in_the_container(children: dict[int, int]) -> None:
    assert largest(Reading(950 * MIB, LIMIT), children) is None


def test_the_sentence_names_the_limit() -> None:
    said = sentence(Reading(950 * MIB, LIMIT))
    assert said.startswith("the container is nearly full (950 of 1000 MiB, its limit)")
