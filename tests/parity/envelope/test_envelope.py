"""Go and Python say the same of any bytes as a value, a job and a result: verdict, code, canonical bytes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from penstock.wire.codec import decode, encode
from penstock.wire.failure import WireError
from penstock.wire.job import decode_job, encode_job
from penstock.wire.registry import HARD_MAX_BODY_BYTES
from penstock.wire.result import decode_result, encode_result
from tests.contract.test_vectors import VECTORS, joined
from tests.helpers.differ import JOB, PROFILE, RESULT, Differ, Verdict, differ
from tests.helpers.samples import bent, mutated

CASES: Final = int(os.environ.get("PENSTOCK_DIFFERENTIAL", "10000"))
SEED: Final = int(os.environ.get("PENSTOCK_SEED", "20261125"))


def written(read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> Callable[[bytes], Verdict]:
    def says(body: bytes) -> Verdict:
        try:
            value = read(body)
        except WireError as error:
            return Verdict("c", str(error.code).encode())
        return Verdict("k", write(value))

    return says


SUBJECTS: Final = {
    PROFILE: written(decode, lambda value: encode(value, max_bytes=HARD_MAX_BODY_BYTES)),
    JOB: written(decode_job, lambda job: encode_job(job, max_bytes=HARD_MAX_BODY_BYTES)),
    RESULT: written(decode_result, lambda result: encode_result(result, max_bytes=HARD_MAX_BODY_BYTES)),
}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differ]:
    with differ(tmp_path_factory.mktemp("differ")) as running:
        yield running


def seeds() -> dict[int, list[bytes]]:
    """The short golden vectors, valid and invalid, by what they are."""
    found: dict[int, list[bytes]] = {PROFILE: [], JOB: [], RESULT: []}
    for path in sorted(VECTORS.rglob("*.json")):
        for vector in json.loads(path.read_text()).get("vectors", ()):
            if len(body := joined(vector.get("hex", ""))) in range(1, 1000):
                of = JOB if path.stem.startswith("job") else RESULT if path.stem.startswith("result") else PROFILE
                found[of].append(body)
    return found


def token_soup(pick: random.Random) -> bytes:
    """Format bytes with plausible lengths behind them."""
    return b"".join(
        bytes([pick.choice([0x80, 0x81, 0x90, 0x92, 0xA1, 0xC0, 0xC4, 0xCA, 0xCB, 0xCC, 0xD6, 0xD7, 0xDC, 0xDE, 0xE0])])
        + pick.randbytes(pick.randrange(5))
        for _ in range(pick.randint(1, 8))
    )


def test_go_and_python_agree_on_values_jobs_and_results(go: Differ) -> None:
    # Given valid bodies, bodies with a few bytes changed, with a part changed, and soup
    pick = random.Random(SEED)
    found = seeds()
    cases: list[tuple[int, bytes]] = [(of, body) for of, bodies in found.items() for body in bodies]
    while len(cases) < CASES:
        of = pick.choice([PROFILE, JOB, JOB, RESULT, RESULT])
        body = pick.choice(found[of])
        cases.append((of, bent(body, pick)))
        cases.append((PROFILE, token_soup(pick)))
        try:
            value = decode(body)
        except WireError:
            continue
        cases.append((of, encode(mutated(value, pick))))
        cases.append((PROFILE, encode(mutated(value, pick))))

    # When both languages read them, then they agree on each
    theirs = go.ask(cases)
    ours = [SUBJECTS[of](body) for of, body in cases]
    differ_ = [
        (of, body.hex(), one, other) for (of, body), one, other in zip(cases, ours, theirs, strict=True) if one != other
    ]
    assert not differ_, f"seed {SEED}: {len(differ_)} of {len(cases)}, the first: {differ_[0]}"

    # And each verdict is there in numbers
    kinds = [verdict.kind for verdict in ours]
    assert kinds.count("k") > CASES // 10
    assert kinds.count("c") > CASES // 4
