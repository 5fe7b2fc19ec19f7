"""Log records as one JSON object a line, or as text for a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from penstock.telemetry import logging as telemetry
from penstock.telemetry.logging import JsonFormatter, TextFormatter
from penstock.wire.registry import Event
from tests.unit.builders import JOB_ID

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def make_record(message: str = "it happened", *, level: int = logging.WARNING, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("penstock.test").makeRecord(
        "penstock.test", level, "file.py", 1, message, (), None, "function", extra
    )


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter("worker-1").format(record)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


# ── json ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_line_has_when_how_bad_who_and_what() -> None:
    # Given a record without anything else
    record = make_record()
    record.created = 1_730_000_000.123

    # When it is formatted, then it has these four and nothing more
    assert as_json(record) == {
        "timestamp": "2024-10-27T03:33:20.123+00:00",
        "level": "warning",
        "service": "worker-1",
        "message": "it happened",
    }


def test_the_fields_of_a_job_are_keys_of_their_own() -> None:
    # Given a record about a job
    record = make_record(event=Event.JOB_RETRY_SCHEDULED, job_id=JOB_ID, task="stats.norm", queue="stats", attempt=2)

    # When it is formatted
    line = as_json(record)

    # Then a program can select by them
    assert line["event"] == "job.retry_scheduled"
    assert (line["job_id"], line["task"], line["queue"], line["attempt"]) == (JOB_ID, "stats.norm", "stats", 2)


def test_a_trace_that_came_along_is_told_by_its_id() -> None:
    line = as_json(make_record(traceparent=TRACEPARENT))
    assert line["traceId"] == TRACE_ID
    assert "traceparent" not in line


@pytest.mark.parametrize("trace", [None, "", "nonsense", b"00-x", 5, TRACEPARENT.upper(), TRACEPARENT + "\n"])
def test_what_is_no_trace_makes_no_field(trace: object) -> None:
    line = as_json(make_record(traceparent=trace))
    assert "traceId" not in line
    assert "traceparent" not in line


def test_fields_without_a_value_are_left_out() -> None:
    assert "exit" not in as_json(make_record(exit=None))
    assert as_json(make_record(seconds=0))["seconds"] == 0


def test_arguments_are_filled_into_the_message() -> None:
    record = make_record("%s of %d")
    record.args = ("one", 3)
    assert as_json(record)["message"] == "one of 3"


def test_text_of_any_kind_stays_on_one_line() -> None:
    line = as_json(make_record("two\nlines ä", traceback="Traceback\n  line\nValueError: ä"))
    assert line["message"] == "two\nlines ä"
    assert line["traceback"] == "Traceback\n  line\nValueError: ä"


def test_a_value_that_json_does_not_know_is_written_as_text() -> None:
    assert as_json(make_record(reason=ValueError("gone")))["reason"] == "gone"


def test_an_exception_of_ours_is_logged_with_its_traceback() -> None:
    record = make_record()
    try:
        json.loads("{")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = as_json(record)["traceback"]
    assert text.startswith("Traceback (most recent call last):\n")
    assert "JSONDecodeError" in text


# ── text ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_for_people_begins_with_time_level_and_event() -> None:
    # Given a record about a job
    record = make_record(event=Event.JOB_RAISED, task="stats.norm", attempt=2)
    record.created = 1_730_000_000.123

    # When it is formatted, then the rest follows as pairs
    line = TextFormatter().format(record)
    assert line == "03:33:20 warning  job.raised  it happened  task=stats.norm attempt=2"


def test_a_line_without_an_event_names_its_logger() -> None:
    assert "penstock.test  it happened" in TextFormatter().format(make_record())


@pytest.mark.parametrize("field", ["traceback", "said"])
def test_what_is_long_stands_below_indented(field: str) -> None:
    extra: dict[str, Any] = {field: "Traceback\n  line 1\nValueError", "task": "t.f"}
    head, *below = TextFormatter().format(make_record(**extra)).splitlines()
    assert head.endswith("task=t.f")
    assert below == ["    Traceback", "      line 1", "    ValueError"]


# ── configure ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """The loggers of this process are put back afterwards."""
    root, pika = logging.getLogger(), logging.getLogger("pika")
    handlers, level, pika_level = list(root.handlers), root.level, pika.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    pika.setLevel(pika_level)


def test_records_of_the_process_go_to_stderr_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    # Given a process that logs warnings as JSON
    telemetry.configure(service="worker-1", style="json", level="WARNING")

    # When it logs
    logging.getLogger("penstock.worker").info("not shown")
    logging.getLogger("penstock.worker").warning("shown", extra={"event": Event.WORKER_DRAINING})

    # Then one line is there
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "worker.draining"
    assert datetime.fromisoformat(json.loads(line)["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(
    ("style", "terminal", "text"),
    [("auto", False, False), ("auto", True, True), ("text", False, True), ("json", True, False)],
)
def test_text_is_for_terminals_unless_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    style: str,
    terminal: bool,
    text: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    telemetry.configure(service="worker-1", style=style, level="INFO")
    logging.getLogger("penstock.worker").info("hello")
    assert capsys.readouterr().err.startswith("{") is not text


def test_configuring_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        telemetry.configure(service="worker-1", style="json", level="INFO")
    logging.getLogger("penstock.worker").info("hello")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_pika_says_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(service="worker-1", style="json", level="DEBUG")
    logging.getLogger("pika.connection").error("Unexpected connection close detected")
    assert capsys.readouterr().err == ""
