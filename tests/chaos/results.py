"""Result files: one JSON object a line, one line a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def read_results(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The lines of result files; one that does not exist has none."""
    for path in paths:
        if path.exists():
            for text in path.read_text().splitlines():
                yield json.loads(text)
