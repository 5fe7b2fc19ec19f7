"""Go modules that hold data for tests, fetched by version and hash; Go keeps them for the next time."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.helpers.go import GO
from tests.helpers.servers import missing


def module(path: str, version: str, sum_: str) -> Path:
    """The folder of a module.

    Without it and without a network the test skips on a laptop and fails in CI.

    Args:
        path: The module's path.
        version: Its version.
        sum_: The hash of its content, as in a go.sum: `h1:...`.
    """
    with tempfile.TemporaryDirectory() as outside:  # of every module, whose go.mod would count
        done = subprocess.run(
            [GO, "mod", "download", "-json", f"{path}@{version}"],
            cwd=outside,
            env={**os.environ, "GOFLAGS": "", "GOWORK": "off"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    said = json.loads(done.stdout) if done.stdout else {"Error": done.stderr}
    if "Error" in said:
        missing(f"{path} {version} cannot be had: {said['Error'][-1000:]}")
    assert said["Sum"] == sum_, f"{path} {version} has another content"
    return Path(said["Dir"])
