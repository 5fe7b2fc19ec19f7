"""What a child answers: the bytes of results and of items, and the OUTCOME frame of an attempt that has ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, TypeAlias

from penstock.domain.binding import Binding
from penstock.domain.context import Cancelled, SoftTimeoutError
from penstock.domain.outcome import OutcomeKind
from penstock.lanes.runner.attempt import Attempt, Ended
from penstock.lanes.runner.failing import unfit
from penstock.lanes.runner.items import UnfitItemError
from penstock.memory_file import MemoryFile
from penstock.schema.binding import ContractBinding
from penstock.wire.blob import Blob
from penstock.wire.codec import pack
from penstock.wire.compression import compressed
from penstock.wire.failure import Failure
from penstock.wire.items import HEAD_BYTES, LEVEL, NODES
from penstock.wire.plain import plain
from penstock.wire.registry import ErrorCode
from penstock.wire.result import Result, encode_result

#: Meta, body and file of an OUTCOME frame.
Answer: TypeAlias = tuple[list[Any], bytes, MemoryFile | None]


class Answers:
    """Encodes what attempts yield and return.

    Args:
        worker: The worker's name, written into results.
        max_body_bytes: Longest body that goes in a frame; what is longer goes as a file.
    """

    def __init__(self, worker: str, max_body_bytes: int) -> None:
        self._worker = worker
        self._max_body_bytes = max_body_bytes

    def of(self, attempt: Attempt) -> Answer:
        """The answer to the parent, of an attempt that has ended."""
        ended = attempt.ended
        assert ended is not None
        run_s = time.perf_counter() - attempt.clock
        result = self._result(attempt, ended, run_s)
        # Its own length decides, not the compressed one: of a message nobody inflates more than a message may hold.
        in_file = len(result) > self._max_body_bytes
        if attempt.compressed:
            # Who sends a compressed body can read one.
            result = compressed(result)
        file = _filed(ended, result) if in_file else None
        answer: list[Any] = [ended.kind.value, int(run_s * 1e6)]
        if failure := ended.failure:
            said = (str(failure.code), failure.message, failure.retryable, failure.exc_type)
            answer += [*said, ended.delay_s, ended.trace, attempt.tries, dict(failure.details)]
            return answer, b"", None
        if file is None:
            return answer, result, None
        return [*answer, Blob.of(result).sha256], b"", file

    def item(self, binding: Binding | ContractBinding, value: Any, seq: int) -> bytes:
        """The bytes of an item. What interrupts the task is raised here, too, and has nothing to do with the item."""
        try:
            most, bulk = self._max_body_bytes - HEAD_BYTES, None
            if isinstance(binding, ContractBinding):
                made, bulk = binding.item(value, LEVEL, NODES)
            else:
                made = plain(value, max_bytes=most, level=LEVEL, nodes=NODES)
            return pack(made, max_bytes=most, bulk=bulk)
        except (Cancelled, SoftTimeoutError):
            raise
        except BaseException as error:  # noqa: BLE001 -- reading a value may run user code
            failure = unfit(error, "item")
            raise UnfitItemError(replace(failure, message=f"item {seq}: {failure.message}")) from None

    def _result(self, attempt: Attempt, ended: Ended, run_s: float) -> bytes:
        """The result.v1 of a success; nothing for a failure, whose result the parent writes.

        A value that cannot travel turns a success into a failure.
        """
        if ended.failure is not None:
            return b""
        mirrors = attempt.mirrors
        result = Result(
            job_id=mirrors.job_id,
            task=mirrors.task,
            tv=attempt.job.tv,
            attempt=mirrors.attempt + attempt.tries - 1,
            started_at=int(attempt.started_at * 1000),
            finished_at=int((attempt.started_at + run_s) * 1000),
            worker=self._worker,
            value=ended.value,
            items=None if attempt.items is None else attempt.items.count,
        )
        binding = attempt.binding
        try:
            convert = binding.result if isinstance(binding, ContractBinding) else None
            return encode_result(result, max_bytes=attempt.max_bytes, convert=convert)
        except BaseException as error:  # noqa: BLE001 -- reading a value may run user code
            ended.kind, ended.failure = OutcomeKind.RAISED, unfit(error)
            return b""


def _filed(ended: Ended, result: bytes) -> MemoryFile | None:
    """A file with a result too long for a frame; None: there is no room, and that is how the attempt ended."""
    try:
        return MemoryFile.holding(result)
    except OSError as error:
        failure = Failure(code=ErrorCode.INTERNAL, message=f"the result cannot be handed over: {error}", retryable=True)
        ended.kind, ended.failure = OutcomeKind.RAISED, failure
        return None
