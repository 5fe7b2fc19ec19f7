"""What the tests of lanes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lanes.observed import MODULE


@pytest.fixture
def lane_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which children import the tasks and leave files."""
    (tmp_path / "lane_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path
