"""Go programs of the repository, built for a test."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.helpers.worker import ROOT

_OWN: Final = ROOT / ".venv/bin/go"
GO: Final = str(_OWN) if _OWN.exists() else "go"
_PRODUCER: Final = ROOT / "producer_go"
_MODULE: Final = "github.com/penstock-mq/penstock/producer_go"


def build(package: str, into: Path) -> Path:
    """Build the program in a folder of the repository; returns its path."""
    program = into / Path(package).name
    _go("build", "-o", str(program), ".", folder=ROOT / package)
    return program


def build_generated(contracts: Path, main: str, into: Path) -> Path:
    """Generate clients from contracts and build a program around them; returns its path.

    The packages are laid over `producer_go/internal/made` for the compiler alone: nothing is written there.

    Args:
        contracts: The folder of the contracts.
        main: Source text of the program. It imports clients from `.../producer_go/internal/made/<queue>`.
        into: An empty folder.
    """
    generator = build("producer_go/cmd/penstock-gen", into)
    source = into / "made"
    source.mkdir()
    (source / "go.mod").write_text(f"module {_MODULE}/internal/made\n")
    subprocess.run([generator, "-contracts", contracts, "-out", source], check=True, timeout=60, capture_output=True)
    shutil.rmtree(source / "go.mod", ignore_errors=True)
    (source / "main.go").write_text(main)
    place = _PRODUCER / "internal/made"
    overlay = {str(place / path.relative_to(source)): str(path) for path in source.rglob("*.go")}
    (into / "overlay.json").write_text(json.dumps({"Replace": overlay}))
    program = into / "program"
    _go("build", "-overlay", str(into / "overlay.json"), "-o", str(program), "./internal/made", folder=_PRODUCER)
    return program


def _go(*argv: str, folder: Path) -> None:
    done = subprocess.run([GO, *argv], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"go {' '.join(argv)}:\n{done.stderr[-4000:]}"
