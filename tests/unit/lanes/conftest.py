"""What the tests of lanes share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.lanes.observed import MODULE


@pytest.fixture
def lane_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which children import the tasks and leave files."""
    (tmp_path / "lane_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
