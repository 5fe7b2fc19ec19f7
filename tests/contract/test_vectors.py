"""The golden vectors of contracts/vectors through the Python wire; the Go tests read the same files."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgpack import Timestamp

from penstock.wire.codec import decode, encode
from penstock.wire.compression import inflated
from penstock.wire.failure import Failure, WireError
from penstock.wire.job import Job, decode_job, encode_job
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import Result, decode_result, encode_result

VECTORS = Path(__file__).parents[2] / "contracts" / "vectors"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def vectors(name: str) -> list[Any]:
    """One parameter per vector of a file, with the vector's name as id."""
    loaded = json.loads((VECTORS / name).read_text(encoding="utf-8"))["vectors"]
    return [pytest.param(vector, id=vector["name"]) for vector in loaded]


def joined(parts: Any) -> bytes:
    """The bytes that `hex` stands for."""
    if isinstance(parts, str):
        return bytes.fromhex(parts)
    return b"".join(map(one_part, parts))


def one_part(part: Any) -> bytes:
    if isinstance(part, str):
        return bytes.fromhex(part)
    if "repeat" in part:
        digits, count = part["repeat"]
        return bytes.fromhex(digits) * int(count)
    count, digits = part["keys"]
    return b"".join(b"\xa5%05x" % i + bytes.fromhex(digits) for i in range(count))


def untagged(value: Any) -> Any:
    """A `value` of a vector as the codec decodes it."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)).startswith("$"):
        ((tag, content),) = value.items()
        return TAGS[tag](content)
    return {key: untagged(item) for key, item in value.items()}


def moment(parts: list[int]) -> Any:
    seconds, nanoseconds = parts
    if nanoseconds % 1000:
        return Timestamp(seconds, nanoseconds)
    return EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)


TAGS: dict[str, Any] = {
    "$int": int,
    "$f64": lambda bits: struct.unpack(">d", bytes.fromhex(bits))[0],
    "$bin": joined,
    "$str": lambda parts: joined(parts).decode(),
    "$ts": moment,
    "$repeat": lambda pair: [untagged(pair[0])] * pair[1],
    "$keys": lambda pair: {f"{i:05x}": untagged(pair[1]) for i in range(pair[0])},
}


def exact(value: Any) -> Any:
    """`value` in a form in which == sees kinds, signs of zero and NaN."""
    if isinstance(value, float):
        return ("f64", "nan" if math.isnan(value) else value.hex())
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    return (type(value).__name__, value)


@pytest.mark.parametrize("vector", vectors("profile/valid.json"))
def test_a_valid_value_is_decoded_and_written_canonically(vector: dict[str, Any]) -> None:
    # given
    body, value = joined(vector["hex"]), untagged(vector["value"])
    # when
    decoded = decode(body)
    # then
    assert exact(decoded) == exact(value)
    assert (encode(value) == body) is vector["canonical"]
    assert encode(decoded) == encode(value)


@pytest.mark.parametrize("vector", vectors("profile/invalid.json"))
def test_an_invalid_value_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refusal:
        decode(joined(vector["hex"]))
    assert refusal.value.code == vector["expect"]
    assert f"(rule {vector['rule']} of the profile)" in str(refusal.value)


@pytest.mark.parametrize("vector", [*vectors("envelope/job_valid.json"), *vectors("future/job_valid.json")])
def test_a_valid_job_is_decoded_and_written_canonically(vector: dict[str, Any]) -> None:
    # given
    body, fields = joined(vector["hex"]), untagged(vector["value"])
    # when
    job = decode_job(body)
    # then
    assert (fields.pop("v"), fields.pop("kind")) == (1, "job")
    assert job == Job(**fields)
    assert exact(job.args) == exact(fields["args"])
    assert (encode_job(job) == body) is vector["canonical"]


@pytest.mark.parametrize("vector", [*vectors("envelope/job_invalid.json"), *vectors("future/job_invalid.json")])
def test_an_invalid_job_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refusal:
        decode_job(joined(vector["hex"]))
    assert refusal.value.code == vector["expect"]
    assert names_the_rule(str(refusal.value), vector["rule"])


@pytest.mark.parametrize("vector", [*vectors("envelope/result_valid.json"), *vectors("future/result_valid.json")])
def test_a_valid_result_is_decoded_and_written_canonically(vector: dict[str, Any]) -> None:
    # given
    body, fields = joined(vector["hex"]), untagged(vector["value"])
    # when
    result = decode_result(body)
    # then
    assert (fields.pop("v"), fields.pop("kind")) == (1, "result")
    assert fields.pop("status") == ("error" if result.error else "ok")
    value, error = fields.pop("result", None), fields.pop("error", None)
    failure = Failure(**error) if error else None
    assert result == Result(**fields, value=value, error=failure)
    assert exact(result.value) == exact(value)
    assert (encode_result(result) == body) is vector["canonical"]


@pytest.mark.parametrize("vector", [*vectors("envelope/result_invalid.json"), *vectors("future/result_invalid.json")])
def test_an_invalid_result_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refusal:
        decode_result(joined(vector["hex"]))
    assert refusal.value.code == vector["expect"]
    assert names_the_rule(str(refusal.value), vector["rule"])


def names_the_rule(message: str, rule: str) -> bool:
    """Whether the message names the rule of the profile or the field of the envelope."""
    if rule == "order":
        return True  # the code tells which check came first
    if rule == "gzip":
        return "gzip" in message
    if rule.startswith("P"):
        return f"(rule {rule} of the profile)" in message
    return message.startswith(f"{rule} ") or (rule == "v" and "envelope has version" in message)


@pytest.mark.parametrize(
    "vector",
    [
        *vectors("profile/valid.json"),
        *vectors("envelope/job_valid.json"),
        *vectors("envelope/result_valid.json"),
    ],
)
def test_a_valid_body_cut_off_anywhere_is_refused(vector: dict[str, Any]) -> None:
    body = bytes(inflated(joined(vector["hex"]), max_bytes=MAX_BODY_BYTES))
    ends = range(len(body)) if len(body) < 400 else (1, 2, 3, 4, 5, 6, len(body) // 2, len(body) - 2, len(body) - 1)
    for end in ends:
        with pytest.raises(WireError):
            decode(body[:end])


def test_every_rule_of_the_profile_has_a_vector() -> None:
    broken = {param.values[0]["rule"] for param in vectors("profile/invalid.json")}
    assert broken == {f"P{number}" for number in range(1, 10)}
