"""Which dead jobs are meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from penstock.admin.dead_job import DeadJob
from penstock.admin.fingerprint import fingerprint

_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a job must be; what is None does not matter.

    Attributes:
        task: Its task, `*` and `?` standing for any characters.
        code: Its error code.
        exc_type: The class of its exception.
        fingerprint: Its fingerprint, or the beginning of it.
        job: Its name.
        older_than_s: Seconds since it was given up, at least. A job of which that is not known is neither older
            nor newer than anything.
        newer_than_s: Seconds since it was given up, at most.
    """

    task: str | None = None
    code: str | None = None
    exc_type: str | None = None
    fingerprint: str | None = None
    job: str | None = None
    older_than_s: float | None = None
    newer_than_s: float | None = None

    @property
    def everything(self) -> bool:
        """Whether it lets every job through."""
        return self == Filter()

    def matches(self, job: DeadJob, now_ms: int) -> bool:
        """Whether the job is meant."""
        age_s = None if job.failed_at_ms is None else (now_ms - job.failed_at_ms) / 1000
        return (
            (self.job is None or job.name == self.job)
            and (self.task is None or (job.task is not None and fnmatchcase(job.task, self.task)))
            and (self.code is None or job.code == self.code)
            and (self.exc_type is None or job.exc_type == self.exc_type)
            and (self.older_than_s is None or (age_s is not None and age_s >= self.older_than_s))
            and (self.newer_than_s is None or (age_s is not None and age_s <= self.newer_than_s))
            and (self.fingerprint is None or fingerprint(job).startswith(self.fingerprint))
        )


def span_s(text: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `12h` or `7d`.

    Raises:
        ValueError: It is none of these.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time span, for instance 90s, 15m, 12h or 7d")
    return float(found[1]) * _SECONDS[found[2] or "s"]
