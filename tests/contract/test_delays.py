"""The delays of contracts/vectors through the Python policy, and through the README's formula read literally."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.retry import Retry

FILE = Path(__file__).parents[2] / "contracts" / "vectors" / "backoff" / "delay.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]

each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


@each
def test_the_policy_waits_as_long_as_the_vector_says(vector: dict[str, Any]) -> None:
    assert Retry(**vector["policy"]).delay(vector["attempt"], vector["seed"]) == vector["delay"]


@each
def test_the_vector_says_what_the_formula_says(vector: dict[str, Any]) -> None:
    # Given the formula in exact fractions; 2^3000 exceeds every cap as well as 2^(2^31) does
    policy, attempt = vector["policy"], vector["attempt"]
    longest = min(Fraction(policy["cap"]), Fraction(policy["base"]) * Fraction(2) ** min(attempt - 1, 3000))
    text = f"{vector['seed']}/{attempt}".encode()
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(text).digest())[:53]
    fraction = Fraction(int(bits, 2), 2**53) if policy["jitter"] == "full" else Fraction(1)

    # When it is rounded once, then it is the vector's number
    assert float(longest * fraction) == vector["delay"]


def test_there_are_vectors_of_every_kind() -> None:
    assert len(VECTORS) >= 40
    assert {vector["policy"]["jitter"] for vector in VECTORS} == {"full", "none"}
    assert any(vector["attempt"] == 2**31 - 1 and vector["delay"] for vector in VECTORS)
