"""Go programs of the repository, built for a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers.worker import ROOT


def build(package: str, into: Path) -> Path:
    """Build the program in a folder of the repository; returns its path."""
    own = ROOT / ".venv" / "bin" / "go"
    program = into / Path(package).name
    subprocess.run(
        [str(own) if own.exists() else "go", "build", "-o", str(program), "."],
        cwd=ROOT / package,
        check=True,
        timeout=300,
    )
    return program
