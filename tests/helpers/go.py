"""Go programs of the repository, built for a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.helpers.worker import ROOT

_OWN: Final = ROOT / ".venv/bin/go"
GO: Final = str(_OWN) if _OWN.exists() else "go"
#: Where the packages of `build_made` are imported from.
MADE: Final = "github.com/penstock-mq/penstock/producer_go/internal/made"


def build(package: str, into: Path) -> Path:
    """Build the program in a folder of the repository; returns its path."""
    program = into / Path(package).name
    _go("build", "-o", str(program), ".", folder=ROOT / package)
    return program


def generate(contracts: Path, into: Path) -> dict[str, str]:
    """Go clients of all queues of a folder of contracts, by their place in a module: `stats/stats.gen.go`."""
    generator = build("producer_go/cmd/penstock-gen", into)
    source = into / "generated"
    source.mkdir()
    (source / "go.mod").write_text(f"module {MADE}\n")
    subprocess.run([generator, "-contracts", contracts, "-out", source], check=True, timeout=60, capture_output=True)
    return {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.go")}


def build_made(files: Mapping[str, str], into: Path) -> Path:
    """Build a program of the files of a package `main` and of packages below it; returns its path.

    They are laid over `producer_go/internal/made` for the compiler alone, so that they may use what is internal;
    nothing is written there. They import one another from MADE.
    """
    place, source = ROOT / "producer_go/internal/made", into / "source"
    overlay = {}
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        overlay[str(place / name)] = str(path)
    (into / "overlay.json").write_text(json.dumps({"Replace": overlay}))
    program = into / "program"
    argv = ("build", "-overlay", str(into / "overlay.json"), "-o", str(program), "./internal/made")
    _go(*argv, folder=ROOT / "producer_go")
    return program


def _go(*argv: str, folder: Path) -> None:
    done = subprocess.run([GO, *argv], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"go {' '.join(argv)}:\n{done.stderr[-4000:]}"
