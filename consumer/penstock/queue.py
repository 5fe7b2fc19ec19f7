"""Queue, task and expose: declarations that do no I/O."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, ParamSpec, TypeVar, overload

from penstock.domain.batch import Batch
from penstock.domain.binding import AnyNames, Binding, is_async, yields
from penstock.domain.command import Command, CommandFailedError
from penstock.domain.lane import Async, Commands, LaneSpec, Processes, Serial
from penstock.domain.retry import NO_RETRY, Retry
from penstock.domain.task import QueueSpec, TaskSpec
from penstock.errors import DeclarationError
from penstock.wire.headers import is_queue, is_task
from penstock.wire.registry import GRAMMAR_QUEUE, MAX_TIMEOUT_MS, ErrorCode

_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]*")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A named callable of a queue, as the child knows it."""

    spec: TaskSpec
    function: Callable[..., Any]
    binding: Binding
    retry: Retry
    #: Exceptions that are answered with a code of the task's own.
    raises: Mapping[str, type[BaseException]]
    #: The contract that has to be there; None: the one of the task's name and version, if there is one.
    contract: str | None
    #: How its jobs are collected; None: each has a call of its own.
    batch: Batch | None = None
    #: Seconds after which SoftTimeoutError is raised in it; None: it never is.
    soft_timeout_s: float | None = None

    @property
    def signature(self) -> Callable[..., Any] | None:
        """What says the task's parameters, annotations and result; None: nothing does."""
        return self.function if self.batch is None else self.batch.of


@dataclass(slots=True)
class Queue:
    """A queue of tasks: the unit of scaling, permission and isolation.

        stats = Queue("stats", lane=Processes(4))

        @stats.task(timeout=30, retry=Retry(attempts=5))
        def describe(values: list[float]) -> dict[str, float]: ...

        stats.expose("numpy.linalg:norm")

    Args:
        name: Letters, digits, `-` and `_`; the first word of its tasks' names.
        lane: How its jobs run. Defaults to `Processes()`, one child per core.

    Raises:
        DeclarationError: The name or a declaration is wrong.
    """

    name: str
    lane: LaneSpec = field(default_factory=Processes)
    #: By full name and version.
    tasks: dict[str, dict[int, Task]] = field(default_factory=dict, init=False)
    startup_hooks: list[Callable[[], Any]] = field(default_factory=list, init=False)
    shutdown_hooks: list[Callable[[], Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Check the name and the lane."""
        if not is_queue(self.name):
            raise DeclarationError(f"queue name {self.name!r} does not match {GRAMMAR_QUEUE}")
        if not isinstance(self.lane, LaneSpec):
            raise DeclarationError(f"queue {self.name}: lane must be one, for instance Processes(4), not {self.lane!r}")

    @overload
    def task(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retry: Retry | None = None,
        raises: Mapping[str, type[BaseException]] | None = None,
        contract: str | None = None,
        batch: Batch | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def task(
        self,
        function: Callable[P, R] | None = None,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retry: Retry | None = None,
        raises: Mapping[str, type[BaseException]] | None = None,
        contract: str | None = None,
        batch: Batch | None = None,
    ) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
        """Register a function as a task; the function itself is returned unchanged.

        A generator function streams: its caller gets what it yields while it runs, and what it returns in the end.

        Args:
            function: The function, when the decorator is used without parentheses.
            name: The task's name within the queue. Defaults to the function's own.
            version: Version of the contract, from 1. Defaults to 1. A queue may have one name in several versions,
                so that callers of the old one are served until the last of them is gone.
            timeout: Seconds after which the attempt ends and its child is killed. Defaults to no limit.
            soft_timeout: Seconds after which SoftTimeoutError is raised in the function, so that it can tidy up or
                return what there is; docs/lanes.md says what each lane can interrupt. Defaults to no limit.
            retry: When it is tried again. Defaults to one attempt.
            raises: Exceptions that callers can tell by a code of the task's own, a part of its contract, as in
                `{"EMPTY_SAMPLE": EmptySample}`. What else it raises is TASK_ERROR.
            contract: The task's name, to say that its contract must be there. Defaults to going by the contract if
                there is one, and by the names of the parameters if there is none.
            batch: Run several jobs in one call. The function gets a list with a dict of arguments for each job, and
                returns a sequence of as many results; a result that is an exception is that job's own error. Such a
                function has no side effects, or may repeat them: when a call fails, its halves are called anew.
                Defaults to a call for each job.

        Raises:
            DeclarationError: A name is taken or malformed, or a number is out of range.
        """

        def register(decorated: Callable[P, R]) -> Callable[P, R]:
            own = name or str(getattr(decorated, "__name__", ""))
            self._add(
                own,
                decorated,
                version=version,
                timeout=timeout,
                retry=retry,
                raises=raises,
                contract=contract,
                batch=batch,
                soft_timeout=soft_timeout,
            )
            return decorated

        return register if function is None else register(function)

    def expose(
        self,
        target: str,
        *,
        name: str | None = None,
        version: int = 1,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retry: Retry | None = None,
        raises: Mapping[str, type[BaseException]] | None = None,
        contract: str | None = None,
    ) -> None:
        """Register a library's callable as a task, without a wrapper.

        Args:
            target: `MODULE:CALLABLE`, for instance `numpy.linalg:norm`.
            name: The task's name within the queue. Defaults to the callable's own, here `norm`.
            version: As in `task`.
            timeout: As in `task`.
            soft_timeout: As in `task`.
            retry: As in `task`.
            raises: As in `task`.
            contract: As in `task`.

        Raises:
            DeclarationError: The callable cannot be imported, or as in `task`.
        """
        function = resolve(target)
        if not callable(function):
            raise DeclarationError(f"{self.name}.expose({target!r}): this is no callable")
        own = name or target.rpartition(":")[2].rpartition(".")[2]
        self._add(
            own,
            function,
            version=version,
            timeout=timeout,
            soft_timeout=soft_timeout,
            retry=retry,
            raises=raises,
            contract=contract,
        )

    def command(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        stdout: str = "json",
        retry_on: Collection[int] = (75,),
        version: int = 1,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retry: Retry | None = None,
        contract: str | None = None,
    ) -> None:
        """Register a program as a task, of a queue with the lane `Commands`. No shell is involved.

            convert = Queue("convert", lane=Commands(4))
            convert.command("thumbnail", ["convert", "-", "-resize", "{size}", "jpg:-"], stdin="image", stdout="bytes")

        Args:
            name: The task's name within the queue.
            argv: The program and its arguments. `{size}` stands for the job's argument `size`, a str, a number or a
                bool; `{{` is a brace.
            stdin: The name of the argument that the program reads: bytes and str as they are, anything else as JSON.
                Defaults to none.
            stdout: What its output is: `"json"`, `"text"` (UTF-8), `"bytes"`, or `"none"` (ignored; the result is
                None). Defaults to `"json"`.
            retry_on: Exit statuses after which the job may succeed another time, if there is a policy `retry`.
                Defaults to 75, EX_TEMPFAIL of sysexits.h. The end by a signal counts as one of them; any other status
                than 0 is final.
            version: As in `task`.
            timeout: As in `task`; the program ends with its child.
            soft_timeout: Seconds after which the program gets SIGTERM, so that it can tidy up. When it then ends with
                status 0, its output is the result. Defaults to no limit.
            retry: As in `task`.
            contract: As in `task`.

        Raises:
            DeclarationError: argv is empty or malformed, or as in `task`.
        """
        command = Command(argv, stdin=stdin, stdout=stdout, retry_on=retry_on)
        policy = retry and retry.but_never(CommandFailedError)
        self._add(
            name,
            command,
            version=version,
            timeout=timeout,
            soft_timeout=soft_timeout,
            retry=policy,
            raises=None,
            contract=contract,
        )

    def startup(self, hook: Callable[[], R]) -> Callable[[], R]:
        """Register a function that every child calls once before its first job (load a model, warm a cache)."""
        self.startup_hooks.append(hook)
        return hook

    def shutdown(self, hook: Callable[[], R]) -> Callable[[], R]:
        """Register a function that every child calls once after its last job (flush a buffer, close a connection).

        It is called when the child is recycled, restarted or its worker stops, and has 2 seconds; not when the child
        is killed or crashes, so nothing may depend on it. Of several hooks the last one is called first.
        """
        self.shutdown_hooks.append(hook)
        return hook

    def spec(self, target: str) -> QueueSpec:
        """The queue without its code; `target` is where a child finds it."""
        tasks = {
            name: {version: task.spec for version, task in versions.items()} for name, versions in self.tasks.items()
        }
        return QueueSpec(name=self.name, target=target, lane=self.lane, tasks=tasks)

    def _add(
        self,
        own: str,
        function: Callable[..., Any],
        *,
        version: int,
        timeout: float | None,
        retry: Retry | None,
        raises: Mapping[str, type[BaseException]] | None,
        contract: str | None,
        batch: Batch | None = None,
        soft_timeout: float | None = None,
    ) -> None:
        full = f"{self.name}.{own}"
        if not is_task(full):
            raise DeclarationError(f"task name {full!r} is malformed; give it another with name=")
        if version in self.tasks.get(full, ()):
            raise DeclarationError(f"task {full} version {version} is declared twice")
        if batch is not None:
            self._check_batch(full, function, batch, retry or NO_RETRY)
        self._check_kind(full, function)
        if version < 1:
            raise DeclarationError(f"{full}: version must be at least 1, not {version}")
        if timeout is not None and not 0 < timeout <= MAX_TIMEOUT_MS / 1000:
            raise DeclarationError(
                f"{full}: timeout must be above 0 and at most {MAX_TIMEOUT_MS // 1000} s, not {timeout}"
            )
        if soft_timeout is not None:
            _check_soft(full, soft_timeout, timeout)
        if contract not in (None, full):
            raise DeclarationError(f"{full}: its contract has its name, {full}, not {contract}")
        _check_raises(full, raises or {})
        policy = retry or NO_RETRY
        streams = yields(function)
        if streams and policy.in_slot:
            text = "what yields items is not tried again in its slot; take Retry without in_slot"
            raise DeclarationError(f"{full}: {text}")
        binding = Binding(function, full) if batch is None else _binding_of(batch, full)
        spec = TaskSpec(
            name=full,
            version=version,
            timeout_s=timeout,
            retry=policy,
            takes=binding.takes,
            requires=binding.requires,
            batch=batch and replace(batch, of=None),
            streams=streams,
        )
        task = Task(
            spec=spec,
            function=function,
            binding=binding,
            retry=policy,
            raises=raises or {},
            contract=contract,
            batch=batch,
            soft_timeout_s=soft_timeout,
        )
        self.tasks.setdefault(full, {})[version] = task

    def _check_batch(self, full: str, function: Callable[..., Any], batch: Batch, policy: Retry) -> None:
        """Refuse a batch that nobody can run as it was meant."""
        lane = type(self.lane).__name__
        rules = (
            (not isinstance(batch, Batch), f"batch must be one, for instance Batch(size=64), not {batch!r}"),
            (
                not isinstance(self.lane, Processes | Serial),
                f"the lane {lane} runs no batches; give the queue Processes or Serial, or the task no batch",
            ),
            (is_async(function), "a batch is called as a plain function, and this one is async"),
            (
                yields(function) or yields(getattr(batch, "of", None)),
                "a batch returns a result for each job and yields no items",
            ),
            (
                policy.in_slot > 0,
                "a batch is not tried again in its slot; take Retry without in_slot, then its jobs wait in the broker",
            ),
        )
        for wrong, text in rules:
            if wrong:
                raise DeclarationError(f"{full}: {text}")

    def _check_kind(self, full: str, function: Callable[..., Any]) -> None:
        """Refuse a function that the lane cannot run: it would block others, or never run at all."""
        lane, in_loop = type(self.lane).__name__, is_async(function)
        runs_programs, awaits = isinstance(self.lane, Commands), isinstance(self.lane, Async)
        is_program = isinstance(function, Command)
        rules = (
            (runs_programs and not is_program, f"the lane {lane} runs programs only; use Queue.command"),
            (is_program and not runs_programs, f"the lane {lane} runs no programs; take Commands"),
            (in_loop and not awaits, f"the lane {lane} calls plain functions, and this one is async; take Async"),
            (
                awaits and not in_loop,
                f"the lane {lane} calls async functions; a plain one would hold up all others; take Threads",
            ),
        )
        for wrong, text in rules:
            if wrong:
                raise DeclarationError(f"{full}: {text}")


def _binding_of(batch: Batch, full: str) -> Binding:
    """How the arguments of one job of a batch become its dict."""
    return AnyNames() if batch.of is None else Binding(batch.of, full, by_name=True)


def _check_soft(full: str, soft: float, timeout: float | None) -> None:
    """Refuse a soft limit that would never be felt."""
    if not 0 < soft <= MAX_TIMEOUT_MS / 1000:
        raise DeclarationError(f"{full}: soft_timeout must be above 0, not {soft}")
    if timeout is not None and soft >= timeout:
        raise DeclarationError(f"{full}: soft_timeout {soft} is not below timeout {timeout}")


def _check_raises(full: str, raises: Mapping[str, type[BaseException]]) -> None:
    for code, kind in raises.items():
        if not _CODE.fullmatch(code) or code in ErrorCode.__members__:
            raise DeclarationError(f"{full}: the code {code!r} is not UPPER_SNAKE, or one of penstock's own")
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise DeclarationError(f"{full}: {code} stands for an exception class, not {kind!r}")


def resolve(target: str) -> Any:
    """The object at `MODULE:ATTRIBUTE[.ATTRIBUTE ...]`.

    Raises:
        DeclarationError: The text is malformed, or there is no such attribute. What the module itself raises
            while it is imported is passed on as it is.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path) or module_name.startswith("."):
        raise DeclarationError(f"{target!r} is not MODULE:NAME, for instance numpy.linalg:norm")
    found: Any = importlib.import_module(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise DeclarationError(f"{target!r}: {found!r} has no attribute {part!r}") from None
    return found
