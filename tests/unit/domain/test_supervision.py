"""Supervision: every end of a child in every state, and long random lives of a lane by a clock of the test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain import supervision
from penstock.domain.supervision import (
    PROBE_S,
    RESTART_DELAYS_S,
    Action,
    Probing,
    Reason,
    SlotState,
    Standing,
    child_ended,
    mostly_broken,
    replaceable,
    restart_delay,
)

#: Ends that count against a child, and those that do not.
FAILURES = {Reason.BOOT, Reason.CRASH, Reason.SIGNAL, Reason.MEMORY}
NORMAL = set(Reason) - FAILURES
FAILED_IMPORT = 78
MOST = len(RESTART_DELAYS_S)

# ── one place ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(number + 1, delay) for number, delay in enumerate(RESTART_DELAYS_S)]
)
def test_every_failure_in_a_row_has_its_delay(failures: int, delay_s: float) -> None:
    assert restart_delay(failures) == delay_s


def test_the_delays_are_what_the_documentation_says() -> None:
    assert RESTART_DELAYS_S == (1.0, 2.0, 4.0, 8.0, 16.0)


@pytest.mark.parametrize("more", [1, 2, 100])
def test_a_child_that_fails_more_often_is_broken(more: int) -> None:
    assert restart_delay(MOST + more) is None


@pytest.mark.parametrize("state", SlotState)
@pytest.mark.parametrize("reason", sorted(NORMAL))
@pytest.mark.parametrize("failures", range(MOST + 2))
def test_a_normal_end_is_never_a_failure(state: SlotState, reason: Reason, failures: int) -> None:
    # Given a place in any state
    step = child_ended(Standing(state=state, failures=failures), reason, 0)

    # When its child ends without a fault of its own, then nothing is counted, and nothing has to wait
    assert step.standing.failures == failures
    assert step.action is (Action.LEAVE if reason in (Reason.FINISHED, Reason.STOPPED) else Action.START)
    assert step.delay_s == 0


@pytest.mark.parametrize("state", SlotState)
@pytest.mark.parametrize("reason", sorted(FAILURES))
@pytest.mark.parametrize("failures", range(MOST + 2))
def test_every_other_end_is_one_failure_more(state: SlotState, reason: Reason, failures: int) -> None:
    step = child_ended(Standing(state=state, failures=failures), reason, -9)
    assert step.standing.failures == failures + 1
    if failures < MOST:
        assert (step.action, step.standing.state) == (Action.WAIT, SlotState.RESTARTING)
        assert step.delay_s == RESTART_DELAYS_S[failures]
    else:
        assert (step.action, step.standing.state, step.delay_s) == (Action.BREAK, SlotState.BROKEN, 0)


@pytest.mark.parametrize("state", SlotState)
@pytest.mark.parametrize("reason", Reason)
def test_a_child_that_nobody_wants_any_more_has_no_successor_however_it_ends(state: SlotState, reason: Reason) -> None:
    step = child_ended(Standing(state=state, failures=3), reason, FAILED_IMPORT, wanted=False)
    assert (step.action, step.standing) == (Action.LEAVE, Standing(state=SlotState.STOPPED, failures=3))


@pytest.mark.parametrize("reason", Reason)
def test_the_status_of_a_failed_import_is_final_before_a_child_is_ready_and_never_afterwards(reason: Reason) -> None:
    step = child_ended(Standing(state=SlotState.STARTING), reason, FAILED_IMPORT)
    assert (step.action is Action.BREAK) is (reason is Reason.BOOT)


def test_a_job_that_ends_forgives_and_to_be_ready_does_not() -> None:
    standing = Standing(state=SlotState.STARTING, failures=4)
    assert supervision.became_ready(standing) == Standing(state=SlotState.READY, failures=4)
    assert supervision.forgiven(standing) == Standing(state=SlotState.STARTING)


def test_quarantine_is_closed_for_longer_and_longer_and_never_for_good() -> None:
    standing, delays = Standing(), []
    for _ in range(MOST + 3):
        step = supervision.failed_alone(standing)
        standing = step.standing
        delays.append(step.delay_s)
    assert delays == [*RESTART_DELAYS_S, 16.0, 16.0, 16.0]


@pytest.mark.parametrize(
    ("state", "status", "busy", "finishing", "reason"),
    [
        (SlotState.STARTING, 1, False, False, Reason.BOOT),
        (SlotState.STARTING, -9, False, False, Reason.BOOT),
        (SlotState.READY, 3, True, False, Reason.CRASH),
        (SlotState.READY, 0, True, False, Reason.CRASH),
        (SlotState.READY, -11, True, False, Reason.SIGNAL),
        (SlotState.READY, -11, False, False, Reason.SIGNAL),
        (SlotState.READY, 0, False, True, Reason.FINISHED),
        (SlotState.READY, 1, False, True, Reason.CRASH),
        (SlotState.RETIRING, 0, False, True, Reason.RECYCLED),
        (SlotState.RETIRING, -9, False, True, Reason.RECYCLED),
        (SlotState.RETIRING, -9, True, True, Reason.SIGNAL),
    ],
)
def test_the_reason_of_an_end_is_found_from_what_the_child_did(
    state: SlotState, status: int, busy: bool, finishing: bool, reason: Reason
) -> None:
    found = supervision.reason_of(state, status, busy=busy, finishing=finishing, limit=None, starved=False)
    assert found is reason


@pytest.mark.parametrize(("state", "busy", "finishing"), [*itertools.product(SlotState, (False, True), (False, True))])
def test_a_limit_is_the_reason_whatever_the_child_did_and_want_of_memory_comes_before_it(
    state: SlotState, busy: bool, finishing: bool
) -> None:
    for limit, starved, reason in (
        (Reason.TIMEOUT, False, Reason.TIMEOUT),
        (Reason.CANCELLED, False, Reason.CANCELLED),
        (None, True, Reason.MEMORY),
    ):
        found = supervision.reason_of(state, -9, busy=busy, finishing=finishing, limit=limit, starved=starved)
        assert found is reason


# ── a lane ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("broken", "children", "mostly"),
    [(0, 1, False), (1, 1, True), (1, 2, True), (1, 3, False), (2, 3, True), (2, 4, True)],
)
def test_a_lane_is_mostly_broken_when_half_of_its_children_are(broken: int, children: int, mostly: bool) -> None:
    assert mostly_broken(broken, children) is mostly


@pytest.mark.parametrize(
    ("children", "missing", "room"), [(1, 0, 1), (1, 1, 0), (4, 0, 1), (5, 0, 2), (5, 2, 0), (5, 5, 0), (100, 20, 5)]
)
def test_at_most_a_quarter_of_the_children_is_replaced_at_once(children: int, missing: int, room: int) -> None:
    assert replaceable(children, missing) == room


def test_of_surplus_places_those_go_first_whose_end_costs_least() -> None:
    # Given a place in every state, and one more that is ready and busy
    standings = {state.value: Standing(state=state) for state in reversed(SlotState) if state is not SlotState.STOPPED}
    standings = {"ready, with a job": Standing(state=SlotState.READY), **standings}

    # When fewer are wanted, one after the other, then the one with a job is the last to go
    order = ["broken", "restarting", "retiring", "starting", "ready", "ready, with a job"]
    for count in range(-1, len(order) + 2):
        assert supervision.surplus(standings, ["ready, with a job"], count) == order[: max(0, count)]


def test_a_place_that_is_wanted_no_more_proves_nothing() -> None:
    assert supervision.left(Probing(tried=1, waiting=True), 1) == Probing(waiting=True)
    assert supervision.left(Probing(tried=1, waiting=True), 2) == Probing(tried=1, waiting=True)


class Life:
    """A lane of places without children: the test says how each start and each job ends, and its clock moves.

    It carries out steps as `lanes.places` and `lanes.breaker` do, and checks at each what must hold.
    """

    def __init__(self, places: int) -> None:
        self.now = 0.0
        self.standings = {number: Standing(state=SlotState.READY) for number in range(places)}
        self.probing: Probing[int] = Probing()
        self.probe_at: float | None = None
        self._timers: list[tuple[float, int]] = []
        #: Delays of each place since a job ended in it or it was broken.
        self.in_a_row: dict[int, list[float]] = {number: [] for number in range(places)}

    def running(self) -> list[int]:
        """The places with a child."""
        alive = (SlotState.STARTING, SlotState.READY, SlotState.RETIRING)
        return [number for number, standing in self.standings.items() if standing.state in alive]

    def end(self, place: int, reason: Reason, status: int) -> None:
        before = self.standings[place]
        step = child_ended(before, reason, status)
        self.standings[place] = step.standing
        if reason in NORMAL:
            assert step.standing.failures == before.failures
        if step.action is Action.WAIT:
            assert step.delay_s in RESTART_DELAYS_S
            self.in_a_row[place].append(step.delay_s)
            assert self.in_a_row[place] == list(RESTART_DELAYS_S[: len(self.in_a_row[place])])
            heappush(self._timers, (self.now + step.delay_s, place))
        elif step.action is Action.BREAK:
            self.in_a_row[place] = []
            self._go_on(supervision.broke(self.probing, place))

    def ready(self, place: int) -> None:
        if self.standings[place].state is SlotState.STARTING:
            self.standings[place] = supervision.became_ready(self.standings[place])

    def job_ended(self, place: int) -> None:
        if self.standings[place].state is not SlotState.READY:
            return
        self.standings[place] = supervision.forgiven(self.standings[place])
        self.in_a_row[place] = []
        if (others := supervision.proved(self.probing, self.standings)) is not None:
            # Only the place that was tried proves anything, by the first job that it has done.
            assert place == self.probing.tried
            self._go_on(Probing())
            for other in others:
                self._start(other, forgive=True)
            assert SlotState.BROKEN not in {standing.state for standing in self.standings.values()}

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on; what is due by then starts at its time."""
        until = self.now + seconds
        while (due := min(self._due(), default=None)) is not None and due <= until:
            self.now = due
            if due == self.probe_at:
                self.probe_at = None
                self._go_on(supervision.probe(self.standings))
                if self.probing.tried is not None:
                    self._start(self.probing.tried)
            else:
                self._start(heappop(self._timers)[1])
        self.now = until

    def _due(self) -> Iterator[float]:
        if self._timers:
            yield self._timers[0][0]
        if self.probe_at is not None:
            yield self.probe_at

    def _start(self, place: int, *, forgive: bool = False) -> None:
        assert self.standings[place].state in (SlotState.RESTARTING, SlotState.BROKEN)
        if forgive:
            self.standings[place] = supervision.forgiven(self.standings[place])
        self.standings[place] = supervision.started(self.standings[place])

    def _go_on(self, probing: Probing[int]) -> None:
        self.probing = probing
        if not probing.waiting:
            self.probe_at = None
        elif self.probe_at is None:
            self.probe_at = self.now + PROBE_S


#: What may happen in a place next.
EVENTS = st.one_of(
    st.tuples(st.sampled_from([*Reason]), st.sampled_from([0, 1, FAILED_IMPORT, -9])),
    st.sampled_from(["ready", "job", "job"]),
    st.sampled_from([0.5, 1.0, 4.0, 16.0, PROBE_S]),
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), EVENTS), max_size=80))
def test_whatever_happens_in_a_lane_the_rules_of_supervision_hold(
    places: int, events: list[tuple[int, tuple[Reason, int] | str | float]]
) -> None:
    # Given a lane whose children are ready
    life = Life(places)
    for number, event in events:
        place = number % places
        broken = {key for key, standing in life.standings.items() if standing.state is SlotState.BROKEN}

        # When anything happens
        if isinstance(event, float):
            life.pass_time(event)
            left = {key for key in broken if life.standings[key].state is not SlotState.BROKEN}
            assert len(left) <= event // PROBE_S + 1
        elif event == "ready":
            life.ready(place)
        elif event == "job":
            life.job_ended(place)
        elif isinstance(event, tuple) and place in life.running():
            reason, status = event
            # A place that was left has no second life here: the lane would have forgotten it.
            life.end(place, Reason.RECYCLED if reason in (Reason.FINISHED, Reason.STOPPED) else reason, status)

        # Then no place has more delays in a row than there are, and a broken lane will be tried again
        assert all(len(delays) <= MOST for delays in life.in_a_row.values())
        states = {standing.state for standing in life.standings.values()}
        assert SlotState.BROKEN not in states or life.probe_at is not None or life.probing.tried is not None


@pytest.mark.parametrize("places", range(1, 7))
def test_a_lane_whose_cause_is_mended_is_whole_again_after_one_probe_and_one_job(places: int) -> None:
    # Given a lane all of whose places are broken
    life = Life(places)
    for place in range(places):
        life.end(place, Reason.BOOT, FAILED_IMPORT)
    assert supervision.all_broken(life.standings.values())

    # When a minute is over, one is tried, and the cause is still there; a minute later one is tried again
    for _ in range(2):
        life.pass_time(PROBE_S)
        (tried,) = life.running()
        life.end(tried, Reason.BOOT, FAILED_IMPORT)
    life.pass_time(PROBE_S)
    (tried,) = life.running()

    # And when that one does a job, then all of them start, as if they had never failed
    life.ready(tried)
    life.job_ended(tried)
    assert life.running() == list(range(places))
    assert {standing.failures for standing in life.standings.values()} == {0}
    assert life.probing == Probing()
