"""Failures are fit to travel, whatever text they are made of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from penstock.wire.failure import Failure, WireError
from penstock.wire.registry import MAX_ERROR_MESSAGE_BYTES, ErrorCode


def message(text: str) -> str:
    return Failure(code="X", message=text, retryable=False).message


def test_an_ordinary_message_stays_as_it_is() -> None:
    assert message("x: 3 < 4, naïve, 数, 😀") == "x: 3 < 4, naïve, 数, 😀"


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("first\n  second\r\nthird\ttab", "first   second third tab"),
        ("a\x00b\x1b[31mc\x7f", "a\ufffdb\ufffd[31mc\ufffd"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("a\u2028b\x85c", "a b c"),
    ],
)
def test_control_characters_and_lone_surrogates_are_replaced(text: str, tidy: str) -> None:
    assert message(text) == tidy
    message(text).encode()


@pytest.mark.parametrize("character", ["a", "é", "数", "😀", "\x00", "\ud800"])
def test_a_long_message_is_cut_at_a_character(character: str) -> None:
    # when
    cut = message("!" + character * 5000)
    # then
    size = len(cut.encode())
    assert MAX_ERROR_MESSAGE_BYTES - 4 < size <= MAX_ERROR_MESSAGE_BYTES
    assert set(cut[1:]) == {character if character.isprintable() else "\ufffd"}


def test_a_huge_message_is_cut_before_it_is_looked_at() -> None:
    assert len(message("\ud800" * 50_000_000).encode()) <= MAX_ERROR_MESSAGE_BYTES


def test_code_and_exception_are_plain_and_tidy_text_too() -> None:
    failure = Failure(code=ErrorCode.TASK_ERROR, message="", retryable=True, exc_type="A\nB")
    assert type(failure.code) is str
    assert (failure.code, failure.exc_type) == ("TASK_ERROR", "A B")


def test_a_failure_does_not_change_with_the_details_that_it_was_made_of() -> None:
    # given
    details: dict[str, str | int | float | bool] = {"n": 1}
    failure = Failure(code="X", message="m", retryable=False, details=details)
    # when
    details["n"] = 2
    # then
    assert failure.details == {"n": 1}
    assert replace(failure, retryable=True).details == {"n": 1}
    with pytest.raises(FrozenInstanceError):
        failure.code = "Y"  # type: ignore[misc]
    with pytest.raises(TypeError):
        failure.details["n"] = 3  # type: ignore[index]


def test_a_wire_error_is_a_value_error_with_a_code() -> None:
    error = WireError(ErrorCode.TOO_LARGE, "the body is too long")
    assert isinstance(error, ValueError)
    assert (error.code, str(error)) == (ErrorCode.TOO_LARGE, "the body is too long")
