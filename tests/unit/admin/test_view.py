"""Values as JSON and back without a change, and text that no terminal obeys."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from msgpack import Timestamp

from penstock.admin.view import from_json, one_line, printable, to_json
from penstock.wire.codec import decode, encode


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        1.0,
        -0.0,
        math.inf,
        -math.inf,
        "grüße",
        b"\x00\xff",
        datetime(2026, 1, 31, 12, 30, 1, 5, tzinfo=UTC),
        Timestamp(5, 7),
        Timestamp(-62135596800, 999_999_999),
        [1, [2.5, {"a": b""}]],
        {"$bytes": "not bytes"},
        {"$bytes": b"x", "b": 1},
        {"$": 1, "$$": 2, "": 3},
        {},
    ],
)
def test_a_value_survives_the_way_to_json_and_back(value: Any) -> None:
    # Given a value that a job can carry
    carried = decode(encode(value))

    # When it goes through strict JSON
    text = json.dumps(to_json(carried), allow_nan=False)
    back = from_json(json.loads(text))

    # Then it is the same value, of the same kinds
    assert encode(back) == encode(value)


def test_a_nan_survives_too() -> None:
    assert math.isnan(from_json(json.loads(json.dumps(to_json(math.nan), allow_nan=False))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"$bytes": "?"}', r"\$bytes"),
        ('{"$bytes": 1}', r"\$bytes"),
        ('{"$time": "yesterday"}', r"\$time"),
        ('{"$timestamp": [1]}', r"\$timestamp"),
        ('{"$timestamp": [1, -1]}', r"\$timestamp"),
        ('{"$timestamp": ["a", "b"]}', r"\$timestamp"),
        ('{"$float": "much"}', r"\$float"),
        ('{"$date": "x"}', r"write a dollar as \$\$"),
        ('{"a": {"$x": 1, "b": 2}}', r"the key '\$x'"),
    ],
)
def test_json_that_means_nothing_is_refused_with_a_word_about_it(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(json.loads(text))


def test_headers_of_every_kind_can_be_shown() -> None:
    from decimal import Decimal

    assert json.dumps(to_json({"a": Decimal("1.5"), "b": [bytearray(b"x")], "c": (1,)}))


@pytest.mark.parametrize("text", ["\x1b[2J", "\x00", "\x9b31m", "\u202eexe", "\u2028", "\x7f", "\r", "\ud800"])
def test_text_of_others_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(f"a{text}b")
    assert shown.startswith("a\ufffd")
    assert shown.endswith("b")
    assert text[0] not in shown


def test_lines_and_tabs_of_a_trace_are_kept_and_one_line_is_one_line() -> None:
    assert printable("a\n\tb") == "a\n\tb"
    assert one_line(" a\n\tb\r\nc ") == "a b c"
