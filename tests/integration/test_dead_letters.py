"""Dead letters as a workbench: every verb of `penstock dead` on a real broker."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest
import redis

from penstock.broker.dead_queue import DeadQueue
from penstock.cli import main
from penstock.errors import UnavailableError
from penstock.wire.job import Job, decode_job, encode_job
from penstock.wire.registry import REDIS_RESULT_KEY
from tests.helpers import management
from tests.helpers.forwarder import Forwarder
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import ROOT, WorkerProcess

NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Bench:
    """A dead queue to work on, and an operator's commands."""

    def __init__(self, producer: Producer, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.producer = producer
        self.topology = producer.topology
        self.url = url
        self._capsys = capsys
        self.run("topology", "apply", "t")

    def run(self, *arguments: str) -> Done:
        """`penstock ...` on this namespace."""
        status = main([*arguments, "--amqp-url", self.url, "--namespace", self.topology.namespace])
        shown = self._capsys.readouterr()
        return Done(status, shown.out, shown.err)

    def dead(self, action: str, *arguments: str) -> Done:
        """`penstock dead ACTION t ...`."""
        return self.run("dead", action, "t", *arguments)

    def bury(
        self,
        task: str = "t.add",
        args: dict[str, Any] | None = None,
        *,
        code: str = "TASK_ERROR",
        message: str = "ValueError: no",
        body: bytes | None = None,
        job_id: str | None = None,
        **headers: Any,
    ) -> str:
        """Put a job into the dead queue, as a worker would; returns its id. `x_user` is the header x-user."""
        job_id = job_id or new_id()
        deadline = headers.get("x_deadline")
        said = {
            "x-error-code": code,
            "x-error-message": message,
            "x-failed-at": NOW_MS,
            "x-attempt": 1,
            "x-result": "none",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if body is None:
            job = Job(id=job_id, task=task, tv=1, args=args or {}, created_at=NOW_MS, deadline=deadline)
            body = encode_job(job)
        properties = pika.BasicProperties(
            message_id=job_id,
            correlation_id=job_id,
            type="job.v1",
            content_type="application/vnd.msgpack",
            delivery_mode=2,
            headers=said,
        )
        self.producer.channel.basic_publish(self.topology.name("dead"), task, body, properties, mandatory=True)
        return job_id

    def ids(self) -> list[str]:
        """The dead jobs in the order of the queue, by taking them; the queue is empty afterwards."""
        taken = []
        while (message := self.producer.take("dead.t")) is not None:
            taken.append(message[1].message_id)
        return taken

    def total(self) -> int:
        """Messages of the dead queue, those that somebody holds included."""
        queues = management.call("GET", "/api/queues/%2F?disable_stats=true&enable_queue_totals=true")
        [found] = (queue for queue in queues if queue["name"] == self.topology.dead_queue("t"))
        return int(found.get("messages", -1))

    def depth(self, queue: str = "dead.t") -> int:
        return self.producer.depth(queue)


@pytest.fixture
def bench(producer: Producer, amqp_url: str, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(producer, amqp_url, capsys)


@pytest.fixture
def limitless(bench: Bench) -> Bench:
    """A dead queue that an older version, or somebody by hand, has declared without a delivery limit."""
    channel, name = bench.producer.channel, bench.topology.dead_queue("t")
    channel.queue_delete(name)
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(name, bench.topology.name("dead"), "t.#")
    return bench


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_tells_one_line_of_each_job_and_leaves_it_where_it_is(bench: Bench) -> None:
    # Given two dead jobs
    first = bench.bury(x_worker="w-1", x_attempt=3, x_replays=2, message="ValueError: no\x1b[31m such thing")
    second = bench.bury("t.echo", code="CHILD_LOST")

    # When they are listed
    done = bench.dead("list")

    # Then there is a line of each, in order, which no terminal obeys, and both are still there
    assert done.status == 0
    head, *rows = done.out.splitlines()
    assert head.split() == ["JOB", "TASK", "CODE", "ATTEMPTS", "FIRST", "LAST", "WORKER", "REPLAYS", "MESSAGE"]
    assert rows[0].split()[:4] == [first, "t.add", "TASK_ERROR", "3"]
    assert rows[0].split()[7:9] == ["w-1", "2"]
    assert rows[1].split()[:3] == [second, "t.echo", "CHILD_LOST"]
    assert "\x1b" not in done.out
    assert bench.ids() == [first, second]


def test_looking_thirty_times_costs_nothing(bench: Bench) -> None:
    # Given more dead jobs than a look acknowledges at once
    jobs = [bench.bury() for _ in range(300)]

    # When they are looked at more often than any broker's default limit of deliveries
    for _ in range(30):
        seen = [job["name"] for job in bench.dead("list", "--json", "--limit", "1000").records]
        assert seen == jobs

    # Then all of them are there, in order
    assert bench.ids() == jobs


def test_looking_at_a_queue_without_a_limit_costs_nothing_either(limitless: Bench) -> None:
    # Given dead jobs in a queue from which RabbitMQ 4.0 to 4.2 drops what was looked at 21 times
    jobs = [limitless.bury(x_trace="its trace") for _ in range(30)]

    # When they are looked at more often than that
    for _ in range(45):
        assert len(limitless.dead("list", "--json").records) == 30

    # Then all of them are there, in order, with what was known of them
    assert {job["trace"] for job in limitless.dead("list", "--json").records} == {"its trace"}
    assert limitless.ids() == jobs


def test_a_look_is_bounded_and_says_what_it_left_out(bench: Bench) -> None:
    jobs = [bench.bury() for _ in range(5)]
    done = bench.dead("list", "--json", "--scan", "3")
    assert [job["name"] for job in done.records] == jobs[:3]
    assert "looked at the first 3 of 5 messages; --scan looks further" in done.err
    done = bench.dead("list", "--json", "--limit", "2")
    assert [job["name"] for job in done.records] == jobs[:2]
    assert "3 more match; --limit takes more" in done.err
    assert bench.ids() == jobs


def test_two_operators_see_a_part_each_and_are_told(bench: Bench) -> None:
    # Given somebody else who reads the queue and holds a message
    jobs = [bench.bury() for _ in range(3)]
    other = bench.producer.channel.connection.channel()
    other.basic_qos(prefetch_count=1)
    held: list[str] = []
    other.basic_consume(bench.topology.dead_queue("t"), lambda *message: held.append(message[2].message_id))
    bench.producer.channel.connection.process_data_events(time_limit=1)
    assert held == jobs[:1]

    # When an operator looks
    done = bench.dead("list", "--json")

    # Then he sees the others, and that he is not alone
    assert [job["name"] for job in done.records] == jobs[1:]
    assert "somebody else is looking at this queue" in done.err
    other.close()
    until(lambda: bench.depth() == 3, "all are back")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "abcd"),
        (("--code", "CHILD_LOST"), "b"),
        (("--task", "t.e*"), "bc"),
        (("--type", "KeyError"), "c"),
        (("--older-than", "2h"), "d"),
        (("--newer-than", "2h"), "abc"),
        (("--task", "t.add", "--code", "TASK_ERROR", "--older-than", "1h"), "d"),
    ],
)
def test_filters_say_which_jobs(bench: Bench, arguments: tuple[str, ...], expected: str) -> None:
    bench.bury(x_worker="a")
    bench.bury("t.echo", code="CHILD_LOST", x_worker="b")
    bench.bury("t.echo", x_worker="c", x_error_type="KeyError")
    bench.bury(x_worker="d", x_failed_at=NOW_MS - 3 * HOUR_MS)
    assert "".join(job["worker"] for job in bench.dead("list", "--json", *arguments).records) == expected


def test_groups_are_what_died_of_the_same_thing(bench: Bench) -> None:
    # Given jobs that died of two things, one of them often
    for number in range(3):
        example = bench.bury(message=f"ValueError: row {number} of 'table-{number}'", x_failed_at=NOW_MS + number)
    bench.bury(message="KeyError: 'x'")

    # When they are grouped
    records = bench.dead("group", "--json").records

    # Then there are two groups, the larger one first, and a fingerprint selects one
    assert [group["count"] for group in records] == [3, 1]
    assert (records[0]["first_ms"], records[0]["last_ms"]) == (NOW_MS, NOW_MS + 2)
    assert records[0]["example"]["name"] == example
    selected = bench.dead("list", "--json", "--fingerprint", records[0]["fingerprint"]).records
    assert len(selected) == 3
    assert records[1]["fingerprint"] in bench.dead("group").out


def test_show_tells_everything_of_a_job(bench: Bench) -> None:
    job_id = bench.bury(
        args={"text": "grüße", "raw": b"\x00\x01"},
        code="CHILD_LOST",
        message="its child died",
        x_exit="SIGSEGV",
        x_peak_rss=300 * 2**20,
        x_trace='Traceback:\n  File "a.py", line 1, in f\x1b[2J',
        x_crashes=3,
        x_user="shop",
        x_first_at=NOW_MS - HOUR_MS,
        x_run_ms=1500,
        x_backoff_ms=3000,
    )
    done = bench.dead("show", job_id)
    assert done.status == 0
    for words in (
        "CHILD_LOST: its child died",
        "SIGSEGV, at most 300.0 MiB resident",
        "3 crashed",
        "from user shop",
        "1.5 s running, 3 s between attempts",
        "1 h ago",
        '"text": "grüße"',
        '"$bytes": "AAE="',
        'File "a.py", line 1, in f',
    ):
        assert words in done.out, words
    assert "\x1b" not in done.out
    assert bench.ids() == [job_id]


def test_a_job_that_is_not_there_is_said_to_be_missing(bench: Bench) -> None:
    done = bench.dead("show", new_id())
    assert done.status == 65
    assert "no job" in done.err


def test_a_dead_queue_that_is_not_there_ends_with_78(bench: Bench) -> None:
    done = bench.run("dead", "list", "nosuch")
    assert done.status == 78
    assert f"queue {bench.topology.dead_queue('nosuch')} does not exist" in done.err


# ── what the broker gave up itself ──────────────────────────────────────────────────────────────────


def exhaust(bench: Bench) -> None:
    """Take the one job of the work queue and give it back until the broker gives it up."""
    channel, name = bench.producer.channel, bench.topology.work_queue("t")

    def given_up() -> bool:
        method, _, _ = channel.basic_get(name)
        if method is not None:
            channel.basic_reject(method.delivery_tag, requeue=True)
        return bench.depth() == 1

    until(given_up, "the broker has given the job up", 30)


@pytest.mark.parametrize("returned", [False, True])
def test_a_job_that_the_broker_gave_up_is_shown_under_its_task(bench: Bench, returned: bool) -> None:
    # Given a job whose workers died each time, at its first attempt or as a retry copy
    job_id = new_id()
    body = encode_job(Job(id=job_id, task="t.add", tv=1, args={"a": 1}, created_at=NOW_MS))
    properties = pika.BasicProperties(message_id=job_id, type="job.v1", delivery_mode=2, user_id=bench.producer.user)
    exchange, key = ("retry", "1s.t.add") if returned else ("jobs", "t.add")
    bench.producer.channel.basic_publish(bench.topology.name(exchange), key, body, properties, mandatory=True)
    exhaust(bench)

    # When it is looked at
    [job] = bench.dead("list", "--json").records

    # Then its task, its user and the reason are known
    assert (job["name"], job["task"], job["code"]) == (job_id, "t.add", "DELIVERY_LIMIT")
    assert job["user"] == bench.producer.user
    assert job["failed_at_ms"] > NOW_MS - 2000
    assert "delivery limit" in bench.dead("show", job_id).out

    # And an edited copy of it says the same in headers of our own
    assert bench.dead("edit", job_id, "--args", '{"a": 2}').status == 0
    method, properties, body = bench.producer.take("dead.t") or pytest.fail("it is gone")
    assert (method.routing_key, properties.headers["x-error-code"]) == ("t.add", "DELIVERY_LIMIT")
    assert properties.headers["x-user"] == bench.producer.user
    assert "x-death" not in properties.headers
    assert decode_job(body).args == {"a": 2}


# ── replay ──────────────────────────────────────────────────────────────────────────────────────────


def test_replayed_jobs_run_again_and_their_ends_are_told(bench: Bench, worker: WorkerProcess) -> None:
    # Given jobs that would succeed now, and one that would not
    good = [bench.bury("t.add", {"a": number}) for number in range(4)]
    bad = bench.bury("t.never")

    # When they are replayed
    done = bench.dead("replay", "--rate", "100")

    # Then all are told of, the failure with its code, and only that one is dead again, counted once more
    assert "replayed 5: 4 succeeded, 1 failed again (TASK_ERROR: 1)" in done.out
    assert f"{bad} TASK_ERROR: KeyError: 'not retried'" in done.out
    assert done.status == 1
    [job] = bench.dead("list", "--json").records
    assert (job["name"], job["replays"], job["attempt"]) == (bad, 1, 1)
    assert bad not in good


def test_a_replayed_job_begins_anew(bench: Bench, worker: WorkerProcess) -> None:
    # Given a job that had spent its attempts
    job_id = bench.bury("t.whoami", x_attempt=3, x_crashes=2, x_first_at=1, x_replays=1)

    # When it is replayed
    done = bench.dead("replay", "--json")

    # Then it succeeds, and nothing of it is left
    assert (done.status, done.records[0]["succeeded"]) == (0, [job_id])
    assert bench.depth() == 0
    assert bench.depth("lost") == 0


def test_what_is_published_for_a_replay_is_a_fresh_job(bench: Bench) -> None:
    # Given no worker, so that what is published can be looked at
    job_id = bench.bury(
        "t.add",
        {"a": 1},
        x_attempt=3,
        x_crashes=2,
        x_trace="t",
        x_replays=1,
        x_result="reply",
        x_task_version=1,
        x_contract="abc",
        tracestate="k=v",
    )

    # When it is replayed without waiting
    done = bench.dead("replay", "--canary", "0", "--wait", "0")

    # Then the message has no past but its replays, and the operator is who asks
    assert (done.status, done.out.splitlines()[0]) == (0, "replayed 1: 1 not ended yet")
    method, properties, body = bench.producer.take("q.t") or pytest.fail("no job")
    assert (method.exchange, method.routing_key) == (bench.topology.name("jobs"), "t.add")
    assert {name: value for name, value in properties.headers.items() if name != "x-delivery-count"} == {
        "x-result": "reply",
        "x-replays": 2,
        "x-task-version": 1,
        "x-contract": "abc",
        "tracestate": "k=v",
    }
    assert (properties.message_id, properties.type, properties.delivery_mode) == (job_id, "job.v1", 2)
    assert properties.user_id == bench.producer.user
    assert properties.reply_to.startswith(f"{bench.producer.user}.")
    assert decode_job(body).args == {"a": 1}


def test_a_replayed_job_that_is_refused_is_dead_again(bench: Bench, worker: WorkerProcess) -> None:
    """Wrong arguments are only answered as a rule, but here the answer ends with the operator's command."""
    job_id = bench.bury("t.add", {"nosuch": 1}, code="INVALID_ARGS")
    done = bench.dead("replay")
    assert done.out.startswith("replayed 1: 1 failed again (INVALID_ARGS: 1)")
    [job] = bench.dead("list", "--json").records
    assert (job["name"], job["code"], job["replays"]) == (job_id, "INVALID_ARGS", 1)


def test_a_canary_that_fails_stops_the_replay(bench: Bench, worker: WorkerProcess) -> None:
    bad = bench.bury("t.never")
    others = [bench.bury("t.add", {"a": 1}) for _ in range(3)]
    done = bench.dead("replay")
    assert done.status == 1
    assert "replayed 1: 1 failed again (TASK_ERROR: 1)" in done.out
    assert "stopped: the canary failed again; 3 left dead" in done.out
    assert sorted(bench.ids()) == sorted([*others, bad])


def test_a_canary_that_does_not_end_stops_the_replay(bench: Bench) -> None:
    """Without a worker the canary waits in its queue."""
    jobs = [bench.bury() for _ in range(3)]
    done = bench.dead("replay", "--wait", "0.2", "--canary", "2")
    assert done.status == 75
    assert "stopped: a canary has not ended within 0.2 s; 1 left dead" in done.out
    assert bench.depth("q.t") == 2
    assert bench.ids() == jobs[2:]


def test_a_replay_keeps_to_its_rate(bench: Bench) -> None:
    for _ in range(6):
        bench.bury()
    begun = time.monotonic()
    bench.dead("replay", "--canary", "0", "--wait", "0", "--rate", "10")
    assert time.monotonic() - begun >= 0.5
    assert bench.depth("q.t") == 6


def test_jobs_that_cannot_be_replayed_stay_and_are_told_why(bench: Bench) -> None:
    late = bench.bury(x_deadline=NOW_MS - 1000)
    stored = bench.bury(x_result="stored")
    nameless = bench.bury(job_id="no-id", body=b"\x80")
    done = bench.dead("replay", "--redis-url", "")
    assert done.status == 65
    assert "not replayed 3:" in done.out
    assert f"{late}: its deadline has passed; give it another: penstock dead edit t {late} --deadline +600" in done.out
    assert f"{stored}: its error result is stored and has to go first; give --redis-url" in done.out
    assert "it has no proper id" in done.out
    assert bench.ids() == [late, stored, nameless]


def test_a_dry_run_replays_nothing(bench: Bench) -> None:
    jobs = [bench.bury(), bench.bury(), bench.bury(x_deadline=NOW_MS - 1000)]
    done = bench.dead("replay", "--dry-run")
    assert done.status == 0
    assert "would replay 2 at 10 per second, 1 of them as canary" in done.out
    assert "not replayed 1:" in done.out
    assert bench.ids() == jobs


def test_jobs_that_no_queue_takes_stay_dead(bench: Bench) -> None:
    jobs = [bench.bury(), bench.bury()]
    bench.producer.channel.queue_delete(bench.topology.work_queue("t"))
    done = bench.dead("replay")
    assert done.status == 68
    assert "no queue takes it; 2 left dead" in done.out
    assert bench.ids() == jobs


def test_a_replayed_job_with_a_stored_error_gets_a_stored_result(
    bench: Bench, start_worker: Callable[..., WorkerProcess], redis_url: str, tmp_path: Path
) -> None:
    # Given a job that failed because of its surroundings, and whose error is stored
    start_worker("--redis-url", redis_url)
    path = tmp_path / "missing" / "file"
    job_id = bench.producer.enqueue("t.hold", {"path": str(path), "seconds": 0.0}, headers={"x-result": "stored"})
    until(lambda: bench.depth() == 1, "the dead job")
    key = REDIS_RESULT_KEY.replace("{namespace}", bench.topology.namespace).replace("{job_id}", job_id)
    key = key.replace("{{", "{").replace("}}", "}")
    with redis.Redis.from_url(redis_url) as store:
        before = until(lambda: store.get(key), "the stored error")

        # When the surroundings are mended and it is replayed
        path.parent.mkdir()
        done = bench.dead("replay", "--redis-url", redis_url)

        # Then it succeeds, and its result has taken the error's place
        assert (done.status, done.out.splitlines()[0]) == (0, "replayed 1: 1 succeeded")
        after = store.get(key)
    assert path.read_text().strip() == job_id
    assert isinstance(before, bytes)
    assert isinstance(after, bytes)
    assert (b"error" in before, b"ok" in after) == (True, True)
    assert bench.depth() == 0


def test_a_job_that_has_succeeded_meanwhile_is_not_replayed(
    bench: Bench, start_worker: Callable[..., WorkerProcess], redis_url: str
) -> None:
    # Given a dead job that an earlier replay brought to a good end before its operator was killed
    start_worker("--redis-url", redis_url)
    job_id = bench.producer.enqueue("t.add", {"a": 1}, headers={"x-result": "reply+stored"})
    bench.producer.result(job_id)
    bench.bury(job_id=job_id, x_result="reply+stored")

    # When it is replayed, then its good result stays
    done = bench.dead("replay", "--redis-url", redis_url)
    assert done.status == 65
    assert "it has succeeded already: its result is stored; discard it" in done.out
    assert bench.ids() == [job_id]


def test_an_operator_whose_connection_is_cut_is_told_what_was_done(bench: Bench) -> None:
    # Given a replay that waits for the end of its canary
    jobs = [bench.bury() for _ in range(3)]
    with Forwarder(bench.url) as forwarder:
        where = ["--amqp-url", forwarder.url, "--namespace", bench.topology.namespace]
        command = [sys.executable, "-m", "penstock", "dead", "replay", "t", *where]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: bench.total() == 2, "the canary is replayed and taken away")

            # When its connection is cut
            forwarder.refuse()
            forwarder.cut()
            out, _ = process.communicate(timeout=60)

    # Then it does not wait in vain, and the others are dead still
    assert process.returncode == 69
    assert "replayed 1: 1 not ended yet" in out
    assert "stopped: the connection to RabbitMQ was lost; how the jobs end is not known; 2 left dead" in out
    until(lambda: bench.depth() == 2, "the others are back")
    assert bench.ids() == jobs[1:]


def test_a_job_that_could_not_be_taken_away_is_told_as_running_and_dead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a connection that is lost right after the broker has confirmed the first job
    jobs = [bench.bury() for _ in range(2)]

    def lost(*_: object) -> None:
        raise UnavailableError("lost")

    monkeypatch.setattr(DeadQueue, "take_away", lost)

    # When jobs are replayed
    done = bench.dead("replay")

    # Then the first is told to be in both places, and no other was touched
    assert done.status == 75
    assert f"{jobs[0]} was taken or not: it is still dead and may run" in done.out
    assert "stopped: lost; 1 left dead" in done.out
    assert bench.depth("q.t") == 1
    assert bench.ids() == jobs


_KILLED_BEFORE_THE_ACK = """
import os, signal, sys
from penstock.broker.dead_queue import DeadQueue
from penstock.cli import main
DeadQueue.take_away = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


def killed_before_the_ack(bench: Bench, *arguments: str) -> None:
    """Run `penstock dead ...` in a process that is killed once the broker has confirmed what stands in."""
    where = ["--amqp-url", bench.url, "--namespace", bench.topology.namespace]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_THE_ACK, "dead", *arguments, *where], cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_an_operator_killed_between_publishing_and_taking_away_loses_nothing(bench: Bench) -> None:
    jobs = [bench.bury() for _ in range(3)]
    killed_before_the_ack(bench, "replay", "t", "--canary", "0", "--wait", "0")
    until(lambda: bench.depth() == 3, "all are dead still")
    assert bench.depth("q.t") == 1
    assert bench.ids() == jobs


def test_an_edit_that_was_cut_short_leaves_both_and_the_edited_one_counts(bench: Bench) -> None:
    # Given a job of which the edited copy is there and the old one too
    job_id = bench.bury("t.add", {"a": 1})
    killed_before_the_ack(bench, "edit", "t", job_id, "--args", '{"a": 2}')
    until(lambda: bench.depth() == 2, "both are there")

    # When it is replayed, then one job runs: the edited one
    done = bench.dead("replay", "--canary", "0", "--wait", "0")
    assert done.out.startswith("replayed 1")
    _, _, body = bench.producer.take("q.t") or pytest.fail("no job")
    assert decode_job(body).args == {"a": 2}
    assert bench.ids() == [job_id]


# ── edit ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_edited_job_takes_the_place_of_the_dead_one_and_can_be_replayed(bench: Bench, worker: WorkerProcess) -> None:
    # Given a job that died of a wrong argument
    job_id = bench.bury("t.add", {"x": 1}, code="INVALID_ARGS", x_user="shop", x_deadline=NOW_MS - 1000)

    # When its arguments and its deadline are changed
    done = bench.dead("edit", job_id, "--args", '{"a": 5}', "--deadline", "+60", "--against", "tests.helpers.tasks:t")

    # Then the job in the queue is the same one with another body, and says so
    assert done.status == 0
    assert "its arguments are those that t.add takes" in done.out
    [record] = bench.dead("export").records
    assert (record["name"], record["code"], record["user"]) == (job_id, "INVALID_ARGS", "shop")
    assert record["edited_at_ms"] >= NOW_MS
    assert record["decoded"]["args"] == {"a": 5}
    assert record["decoded"]["deadline"] == record["deadline_ms"] > NOW_MS
    assert record["decoded"]["id"] == job_id

    # And it runs
    assert bench.dead("replay").out.startswith("replayed 1: 1 succeeded")
    assert bench.depth() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--args", '{"b": 1}', "--against", "tests.helpers.tasks:t"), 65, "missing a (it takes a, b)"),
        (("--args", '{"a": 1}', "--against", "tests.helpers.tasks:solo"), 65, "has no task t.add"),
        (("--args", "[1]"), 65, "the arguments are a JSON object"),
        (("--args", "{"), 65, "--args: "),
        (("--args", "@/nonexistent"), 65, "/nonexistent"),
        (("--args", '{"a": 18446744073709551616}'), 65, "stays as it was: BAD_ENVELOPE: args.a"),
        (("--deadline", "soon"), 64, "neither none nor +SECONDS"),
        (("--deadline", "+0"), 64, "not between 1 s and a year"),
        ((), 64, "give --args or --deadline"),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(
    bench: Bench, arguments: tuple[str, ...], status: int, words: str
) -> None:
    job_id = bench.bury("t.add", {"a": 1})
    done = bench.dead("edit", job_id, *arguments)
    assert (done.status, words in done.err) == (status, True), done.err
    _, properties, body = bench.producer.take("dead.t") or pytest.fail("it is gone")
    assert "x-edited-at" not in properties.headers
    assert decode_job(body).args == {"a": 1}


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_an_editor_gets_the_arguments_and_what_it_leaves_is_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given an editor that adds one to a number
    script = tmp_path / "editor.py"
    script.write_text(
        "import json, sys\n"
        "args = json.load(open(sys.argv[1]))\n"
        "args['a'] += 1\n"
        "json.dump(args, open(sys.argv[1], 'w'))\n"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.setattr("sys.stdin", Terminal())
    job_id = bench.bury("t.add", {"a": 1, "raw": b"\x00"}, x_deadline=NOW_MS + HOUR_MS)

    # When a job is edited with it
    done = bench.dead("edit", job_id)

    # Then its arguments are what it left, and all else is as it was
    assert done.status == 0, done.err
    job = decode_job((bench.producer.take("dead.t") or pytest.fail("it is gone"))[2])
    assert (job.args, job.deadline) == ({"a": 2, "raw": b"\x00"}, NOW_MS + HOUR_MS)


@pytest.mark.parametrize("editor", ["false", "/nonexistent/editor", "'"])
def test_an_editor_that_fails_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, editor: str) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    monkeypatch.setattr("sys.stdin", Terminal())
    job_id = bench.bury("t.add", {"a": 1})
    done = bench.dead("edit", job_id)
    assert (done.status, "stays as it was" in done.err) == (65, True)
    assert bench.ids() == [job_id]


def test_a_body_that_cannot_be_read_cannot_be_edited(bench: Bench) -> None:
    job_id = bench.bury(body=b"\xc1")
    done = bench.dead("edit", job_id, "--args", "{}")
    assert (done.status, "cannot be edited: BAD_ENVELOPE" in done.err) == (65, True)
    assert "cannot be read: BAD_ENVELOPE" in bench.dead("show", job_id).out
    assert bench.ids() == [job_id]


# ── export and discard ──────────────────────────────────────────────────────────────────────────────


def test_an_export_holds_all_that_is_needed_to_publish_a_job_again(bench: Bench, tmp_path: Path) -> None:
    # Given a job with all kinds of arguments
    job_id = bench.bury("t.echo", {"value": [1, 2.5, None, b"\x00", {"$x": "y"}, float("nan")]}, x_trace="t")

    # When it is exported
    [record] = bench.dead("export").records

    # Then body and headers are there, and a reading of the body
    assert decode_job(base64.b64decode(record["body"])).id == job_id
    assert record["headers"]["x-trace"] == "t"
    assert record["routing_key"] == "t.echo"
    assert record["properties"]["message_id"] == job_id
    assert record["decoded"]["args"]["value"] == [1, 2.5, None, {"$bytes": "AA=="}, {"$$x": "y"}, {"$float": "nan"}]
    assert bench.ids() == [job_id]


def test_an_export_may_take_what_it_has_written_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    gone = [bench.bury(code="TIMEOUT") for _ in range(3)]
    kept = bench.bury()
    done = bench.dead("export", "--code", "TIMEOUT", "--to", str(file), "--then-discard")
    assert done.status == 0
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == gone
    assert file.stat().st_mode & 0o077 == 0
    assert bench.ids() == [kept]


def test_an_export_that_cannot_be_written_takes_nothing(bench: Bench, tmp_path: Path) -> None:
    job_id = bench.bury()
    file = tmp_path / "dead.jsonl"
    file.write_text("an earlier export\n")
    done = bench.dead("export", "--to", str(file), "--then-discard")
    assert (done.status, "nothing was removed" in done.err) == (65, True)
    assert file.read_text() == "an earlier export\n"
    full = bench.dead("export", "--to", "/dev/full", "--then-discard")
    assert full.status == 65
    assert bench.ids() == [job_id]


def test_discarded_jobs_are_gone_and_no_others(bench: Bench) -> None:
    for _ in range(3):
        bench.bury(code="TIMEOUT")
    kept = bench.bury()
    assert bench.dead("discard", "--code", "TIMEOUT", "--dry-run").out == "would discard 3\n"
    assert bench.depth() == 4
    assert bench.dead("discard", "--code", "TIMEOUT", "--yes", "--limit", "2").out == "discarded 2\n"
    assert bench.dead("discard", "--code", "TIMEOUT", "--yes").out == "discarded 1\n"
    assert bench.ids() == [kept]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_a_terminal_is_asked_before_anything_is_discarded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    for _ in range(2):
        bench.bury()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = bench.dead("discard", "--all")
    assert "discard 2 dead jobs of t for good? [y/N]" in done.out
    assert f"discarded {2 - left}" in done.out
    assert bench.depth() == left


# ── permissions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def operator(bench: Bench) -> Iterator[Callable[[str], str]]:
    """URLs of users with the permissions of docs/dead-letters.md, or only those for looking."""
    made: list[str] = []
    namespace = bench.topology.namespace

    def create(kind: str) -> str:
        user = f"{kind}-{namespace}"
        made.append(user)
        reply = rf"{namespace}\.reply\.{user}\.[A-Za-z0-9_-]+"
        works = kind == "operator"
        management.call("PUT", f"/api/users/{user}", {"password": "secret", "tags": ""})
        management.call(
            "PUT",
            f"/api/permissions/%2F/{user}",
            {
                "configure": f"^{reply}$" if works else "^$",
                "write": rf"^({namespace}\.(jobs|dead)|{reply})$" if works else "^$",
                "read": rf"^({namespace}\.(dead\.t|replies)|{reply})$" if works else rf"^{namespace}\.dead\.t$",
            },
        )
        topics = (
            ("jobs", r"^t\..+$", "^$"),
            ("dead", r"^t(\..+)?$", "^$"),
            ("replies", "^$", rf"^{user}\.[A-Za-z0-9_-]+$"),
        )
        for exchange, write, read in topics:
            management.call(
                "PUT",
                f"/api/topic-permissions/%2F/{user}",
                {"exchange": f"{namespace}.{exchange}", "write": write, "read": read},
            )
        parts = urlsplit(bench.url)
        return urlunsplit(parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}"))

    yield create
    for user in made:
        management.call("DELETE", f"/api/users/{user}")


def test_the_permissions_of_the_page_are_enough_for_every_action(
    bench: Bench, operator: Callable[[str], str], worker: WorkerProcess, tmp_path: Path
) -> None:
    bench.url = operator("operator")
    job_id = bench.bury("t.add", {"a": 1})
    assert bench.dead("show", job_id).status == 0
    assert bench.dead("group").status == 0
    assert bench.dead("edit", job_id, "--args", '{"a": 2}').status == 0
    assert bench.dead("replay").out.startswith("replayed 1: 1 succeeded")
    bench.bury()
    assert bench.dead("export", "--to", str(tmp_path / "out"), "--then-discard").status == 0
    assert bench.depth() == 0


def test_an_operator_without_a_right_to_configure_renews_what_a_look_may_lose(
    limitless: Bench, operator: Callable[[str], str]
) -> None:
    limitless.url = operator("operator")
    jobs = [limitless.bury() for _ in range(3)]
    for _ in range(45):
        assert len(limitless.dead("list", "--json").records) == 3
    assert limitless.ids() == jobs


def test_who_may_only_read_can_look_and_do_nothing_else(bench: Bench, operator: Callable[[str], str]) -> None:
    job_id = bench.bury("t.add", {"a": 1})
    bench.url = operator("reader")
    assert bench.dead("list").status == 0
    replay, edit = bench.dead("replay"), bench.dead("edit", job_id, "--args", "{}")
    assert (replay.status, edit.status) == (77, 77)
    assert "secret" not in replay.err + edit.err
    assert bench.ids() == [job_id]


def test_what_a_pipe_has_seen_enough_of_disturbs_nothing(bench: Bench) -> None:
    """`penstock dead list | head -1`."""
    jobs = [bench.bury(message="x" * 1000) for _ in range(300)]
    where = f"--amqp-url {bench.url} --namespace {bench.topology.namespace}"
    command = f"{sys.executable} -m penstock dead list t {where} --limit 300 | head -1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=60, check=True, env=os.environ)
    assert done.stdout.startswith(b"JOB")
    assert done.stderr == b""
    assert bench.ids() == jobs
