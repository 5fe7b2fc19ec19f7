"""`penstock dead`: its command line, its tables and its texts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from penstock.admin.dead_letters import Findings, Found
from penstock.admin.report import Report
from penstock.broker.dead_queue import Look
from penstock.cli import dead_text, main
from penstock.cli.tables import age, moment, table
from penstock.domain.topology import Topology
from penstock.wire.failure import Failure
from tests.unit.admin.builders import FAILED_AT, dead, held
from tests.unit.builders import JOB_ID, job_body

BROKER = ("--amqp-url", "amqp://shop:hunter2@127.0.0.1:1/")


def run(*arguments: str) -> int:
    """The exit status of `penstock dead ...`, however it ends."""
    try:
        return main(["dead", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "ACTION"),
        (("list",), "QUEUE"),
        (("list", "stats.norm", *BROKER), "not a queue's name: stats.norm (a task is QUEUE.FUNCTION"),
        (("list", "stats", *BROKER, "--namespace", "a.b"), "not a namespace: 'a.b'"),
        (("list", "stats", "--amqp-url", ""), "no broker: set PENSTOCK_AMQP_URL"),
        (("list", "stats", *BROKER, "--older-than", "soon"), "'soon' is no time span, for instance 90s"),
        (("list", "stats", *BROKER, "--scan", "0"), "0 is not at least 1"),
        (("list", "stats", *BROKER, "--limit", "x"), "--limit"),
        (("show", "stats", *BROKER), "JOB"),
        (("replay", "stats", *BROKER, "--rate", "0"), "--rate 0 is not above 0"),
        (("replay", "stats", *BROKER, "--wait", "0"), "a canary has to be waited for"),
        (("discard", "stats", *BROKER, "--yes"), "say which jobs, or --all"),
        (("discard", "stats", *BROKER, "--all"), "there is no terminal to ask: say --yes"),
        (("export", "stats", *BROKER, "--then-discard"), "--then-discard needs --to FILE"),
    ],
)
def test_wrong_usage_ends_with_64_before_anything_is_touched(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 64
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""
    assert "hunter2" not in shown.err


@pytest.mark.parametrize("action", ["list", "group", "show", "replay", "edit", "export", "discard"])
def test_a_broker_that_is_not_there_ends_with_69_and_without_the_password(
    action: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("penstock.broker.session._CONNECT_S", 0.0)
    more = {
        "show": [JOB_ID],
        "edit": [JOB_ID, "--args", "{}"],
        "discard": ["--all", "--yes"],
        "export": ["--to", str(tmp_path / "out")],
    }
    assert run(action, "stats", *more.get(action, []), *BROKER) == 69
    shown = capsys.readouterr()
    assert "RabbitMQ at amqp://shop:***@127.0.0.1:1/ cannot be reached" in shown.err
    assert (shown.out, list(tmp_path.iterdir())) == ("", [])


def test_a_table_is_aligned_and_its_last_column_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = list(table(("A", "LONGER", "MESSAGE"), [("1", "22", "x" * 100), ("333", "4", "two\nlines\x1b[m")]))
    assert lines == [
        "A    LONGER  MESSAGE",
        "1    22      " + "x" * 26 + "…",
        "333  4       two lines\ufffd[m",
    ]


def test_times_are_in_utc_and_what_is_not_known_is_a_dash() -> None:
    assert moment(1_760_000_000_000) == "2025-10-09 08:53:20"
    assert moment(None) == "-"
    assert moment(10**18) == str(10**18)
    now_ms = int(time.time() * 1000)
    assert age(now_ms - 7_200_500) == "2 h ago"
    assert age(now_ms + 3 * 86_400_000 + 5000) == "in 3 d"
    assert age(now_ms) == "now"


def test_a_job_in_full_names_what_is_known_and_nothing_else() -> None:
    # Given a job that raised, with a trace and arguments
    job = dead({"x-error-type": "ValueError", "x-trace": 'File "a.py", line 1, in f', "x-worker": "w-1"})
    found = Found(job=job, held=held(body=job_body(args={"values": [1, 2]})))

    # When it is shown
    text = "\n".join(dead_text.whole_job(found, Topology("acme")))

    # Then there is what is known, and no line about a child that did not die or a deadline that there is not
    for words in (JOB_ID, "TASK_ERROR: ValueError: no", "acme.jobs to acme.q.stats", "w-1", '"values": [', "in f"):
        assert words in text
    for name in ("child", "deadline", "edited", "time spent"):
        assert f"\n{name}" not in text


def test_a_long_body_is_cut_and_says_so() -> None:
    found = Found(job=dead(), held=held(body=job_body(args={"text": "x" * 100_000})))
    lines = list(dead_text.whole_job(found, Topology()))
    assert max(map(len, lines)) < 5000
    assert "characters more: penstock dead export shows them" in lines[-1]


def look(*, ready: int = 5, looked: int = 5, others: int = 0, full: bool = False) -> Look:
    return Look(ready=ready, looked=looked, others=others, full=full)


@pytest.mark.parametrize(
    ("findings", "scan", "words"),
    [
        (Findings(found=[], more=2, look=look()), 10, "2 more match; --limit takes more"),
        (Findings(found=[], more=0, look=look(looked=3)), 3, "looked at the first 3 of 5 messages; --scan"),
        (Findings(found=[], more=0, look=look(looked=3)), 10, "saw 3 of 5 messages: somebody else"),
        (Findings(found=[], more=0, look=look(looked=3, full=True)), 10, "are 256.0 MiB already"),
        (Findings(found=[], more=0, look=look(others=1)), 10, "somebody else is looking at this queue"),
    ],
)
def test_what_a_look_did_not_see_is_said(findings: Findings, scan: int, words: str) -> None:
    [sentence] = dead_text.caveats(findings, scan)
    assert words in sentence


def test_a_look_that_saw_everything_says_nothing() -> None:
    assert list(dead_text.caveats(Findings(found=[], more=0, look=look()), 10)) == []


def test_a_report_of_many_failures_is_bounded() -> None:
    failure = Failure(code="VALUE", message="no", retryable=False)
    names = [f"job-{number}" for number in range(100)]
    report = Report(replayed=names, failed=dict.fromkeys(names, failure), stopped="enough", left=7)
    lines = list(dead_text.report_lines(report))
    assert lines[0] == "replayed 100: 100 failed again (VALUE: 100)"
    assert len(lines) == 23
    assert lines[-2:] == ["  … 80 more", "stopped: enough; 7 left dead"]
    assert FAILED_AT
