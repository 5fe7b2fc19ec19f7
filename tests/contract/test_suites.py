"""Third-party conformance suites, fetched from their packages by version and hash when the test runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.codec import decode, encode
from penstock.wire.failure import WireError
from tests.helpers import node
from tests.helpers.differ import PROFILE, Differ, Verdict, differ

SUITES = Path(__file__).parent / "suites"


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differ]:
    with differ(tmp_path_factory.mktemp("differ")) as running:
        yield running


@pytest.fixture(scope="module")
def cases() -> list[tuple[str, dict[str, Any], bytes]]:
    """Every encoding of msgpack-test-suite 1.0.0 (kawanet, MIT): the group, the case, and the bytes."""
    node.node(SUITES)
    suite = json.loads((SUITES / "node_modules/msgpack-test-suite/dist/msgpack-test-suite.json").read_text())
    return [
        (group, case, bytes.fromhex(digits.replace("-", "")))
        for group, found in suite.items()
        for case in found
        for digits in case["msgpack"]
    ]


def verdict(body: bytes) -> Verdict:
    try:
        return Verdict("k", encode(decode(body)))
    except WireError as error:
        return Verdict("c", str(error.code).encode())


def test_both_languages_read_the_msgpack_suite_as_the_profile_says(
    cases: list[tuple[str, dict[str, Any], bytes]], go: Differ
) -> None:
    # Given all encodings of the suite
    assert len(cases) == 233

    # When both languages read them
    ours = [verdict(body) for _, _, body in cases]
    theirs = go.ask([(PROFILE, body) for _, _, body in cases])

    # Then they agree, and refuse what the profile leaves out: other extensions, integers and years beyond its bounds
    assert ours == theirs
    refused = Counter(group for (group, _, _), one in zip(cases, ours, strict=True) if one.kind == "c")
    assert refused == {"60.ext.yaml": 11, "23.number-bignum.yaml": 2, "50.timestamp.yaml": 1}


def test_what_is_read_of_the_msgpack_suite_is_what_it_says(cases: list[tuple[str, dict[str, Any], bytes]]) -> None:
    for group, case, body in cases:
        if verdict(body).kind == "c":
            continue
        value = decode(body)
        if "binary" in case:
            assert value == bytes.fromhex(case["binary"].replace("-", "")), group
        elif "bignum" in case:
            assert value == int(case["bignum"]), group
        elif "timestamp" not in case:
            expected = next(case[kind] for kind in ("nil", "bool", "number", "string", "array", "map") if kind in case)
            assert value == expected, group
