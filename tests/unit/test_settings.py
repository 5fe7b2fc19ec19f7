"""WorkerSettings: checked at once, all problems in one sentence."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.settings import MIN_MAX_BODY_BYTES, WorkerSettings, default_instance
from penstock.wire.registry import HARD_MAX_BODY_BYTES, MAX_BODY_BYTES


def made(**changes: Any) -> WorkerSettings:
    return WorkerSettings(**{"targets": ("app:stats",), "amqp_url": "amqp://127.0.0.1/", **changes})


def test_what_is_not_said_has_a_default() -> None:
    settings = made()
    assert (settings.namespace, settings.strict, settings.redis_url) == ("penstock", False, None)
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 9464)
    assert (settings.max_body_bytes, settings.result_ttl_s) == (MAX_BODY_BYTES, 86_400)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": ()}, "name at least one queue as MODULE:QUEUE"),
        ({"namespace": ""}, "namespace '' has other characters"),
        ({"namespace": "a.b"}, "namespace 'a.b' has other characters"),
        ({"instance": ""}, "name '' has other characters"),
        ({"instance": "a.b"}, "name 'a.b' has other characters"),
        ({"instance": "x" * 65}, "or more than 64"),
        ({"drain_s": -0.1}, "drain time -0.1"),
        ({"max_body_bytes": MIN_MAX_BODY_BYTES - 1}, "longest body 4095 is not between 4096 and"),
        ({"max_body_bytes": HARD_MAX_BODY_BYTES + 1}, f"longest body {HARD_MAX_BODY_BYTES + 1} is not"),
        ({"result_ttl_s": 0.9}, "result lifetime 0.9"),
    ],
)
def test_a_value_out_of_range_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        made(**changes)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("drain_s", float("nan")),
        ("drain_s", float("inf")),
        ("result_ttl_s", float("nan")),
        ("result_ttl_s", float("inf")),
    ],
)
def test_a_time_that_is_no_number_of_seconds_is_refused(field: str, number: float) -> None:
    """argparse takes `--result-ttl nan`; it would end in a traceback when milliseconds are made of it."""
    with pytest.raises(UsageError):
        made(**{field: number})


def test_the_message_names_all_problems_at_once() -> None:
    # Given settings in which everything is wrong
    wrong: dict[str, Any] = {
        "targets": (),
        "namespace": "a b",
        "instance": "a b",
        "drain_s": -1,
        "max_body_bytes": 1,
        "result_ttl_s": 0,
    }

    # When they are made
    with pytest.raises(UsageError) as refusal:
        made(**wrong)

    # Then one message has a sentence for each
    assert str(refusal.value).count(";") == len(wrong) - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"drain_s": 0},
        {"max_body_bytes": MIN_MAX_BODY_BYTES},
        {"max_body_bytes": HARD_MAX_BODY_BYTES},
        {"result_ttl_s": 1},
        {"http_port": None},
        {"instance": "x" * 64},
    ],
)
def test_the_limits_themselves_are_allowed(changes: dict[str, Any]) -> None:
    made(**changes)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        made().strict = True  # type: ignore[misc]


def test_no_two_workers_have_the_same_name() -> None:
    names = {default_instance() for _ in range(20)}
    assert len(names) > 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)


@pytest.mark.parametrize("host", ["db-1.example.com", "ä" * 50, "x" * 300, ""])
def test_whatever_the_host_is_called_the_default_name_is_a_valid_one(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a host with this name
    monkeypatch.setattr("penstock.settings.socket.gethostname", lambda: host)

    # When a worker names itself
    name = default_instance()

    # Then the settings accept it
    assert made(instance=name).instance == name
