"""A body that travels beside its message: it lies in the store, and the message's headers name it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.wire.codec import Body
from penstock.wire.headers import int_header, str_header
from penstock.wire.registry import GRAMMAR_SHA256, HEADER_BLOB, HEADER_BLOB_SIZE, REDIS_BLOB_KEY

_SHA256: Final = re.compile(GRAMMAR_SHA256)


@dataclass(frozen=True, slots=True)
class Blob:
    """Which bytes a message stands for.

    Attributes:
        sha256: Their SHA-256, 64 hex digits in lower case.
        size: How many they are.
    """

    sha256: str
    size: int

    @classmethod
    def of(cls, body: Body) -> Blob:
        """The blob that these bytes are."""
        return cls(hashlib.sha256(body).hexdigest(), memoryview(body).nbytes)

    @classmethod
    def named_by(cls, headers: Mapping[str, Any]) -> Blob | None:
        """The blob that headers name; None: they name none. One that cannot be has a size of -1."""
        sha256 = str_header(headers, HEADER_BLOB)
        if sha256 is None:
            return None
        size = int_header(headers, HEADER_BLOB_SIZE)
        proper = _SHA256.fullmatch(sha256) is not None and size is not None and size > 0
        return cls(sha256 if proper else "", size if proper and size is not None else -1)

    def headers(self) -> dict[str, Any]:
        """The headers that name it."""
        return {HEADER_BLOB: self.sha256, HEADER_BLOB_SIZE: self.size}

    def key(self, namespace: str, job_id: str) -> str:
        """Where a job's blob lies in Redis."""
        key = REDIS_BLOB_KEY.replace("{namespace}", namespace).replace("{job_id}", job_id)
        return key.replace("{sha256}", self.sha256)
