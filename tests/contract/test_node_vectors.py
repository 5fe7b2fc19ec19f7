"""A third language, written from the text alone, agrees with the golden vectors."""

from __future__ import annotations

import re
import subprocess

from tests.helpers import node
from tests.helpers.worker import ROOT

EXAMPLE = ROOT / "examples/node"


def test_the_node_example_passes_every_vector_of_the_profile_and_the_envelope() -> None:
    ended = subprocess.run(
        [node.node(EXAMPLE), "--test", "--test-reporter=tap"],
        cwd=EXAMPLE,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    passed = re.search(r"^# pass (\d+)$", ended.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 600
