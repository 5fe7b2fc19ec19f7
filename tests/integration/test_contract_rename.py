"""A change that would break Go callers fails in CI, and forced through CI it fails to compile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.worker import ROOT

GO = ROOT / ".venv/bin/go"


def test_a_renamed_argument_fails_the_check_and_then_the_build_of_its_callers(tmp_path: Path) -> None:
    # Given the examples, with their Go clients, in a repository of their own
    for name in ("examples", "contracts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    go_mod = tmp_path / "examples/go.mod"
    go_mod.write_text(go_mod.read_text().replace("=> ../producer_go", f"=> {ROOT / 'producer_go'}"))

    def run(*argv: str | Path, folder: str = ".") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=tmp_path / folder,
            env={**os.environ, "GOFLAGS": "-mod=mod", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "-m", "penstock", "contract", *arguments)

    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    run("git", "init", "-q")
    run("git", *who, "add", "-A")
    assert run("git", *who, "commit", "-qm", "released").returncode == 0
    assert run(GO, "vet", "./clients", folder="examples").returncode == 0

    # When a keyword argument of a task is renamed
    tasks = tmp_path / "examples/tasks/pictures.py"
    source = tasks.read_text()
    tasks.write_text(source.replace("side: Side,", "edge: Side,").replace("(side, side)", "(edge, edge)"))

    # Then the check fails, and says it so that a Go developer understands
    done = penstock("check", "examples.tasks.pictures:pictures", "--against", "HEAD")
    assert done.returncode == 65
    assert "pictures.thumbnail v1\n  side: the contract calls it side, the code edge" in done.stdout

    # When it is forced through: the contract is exported and the clients are generated anew
    assert penstock("export", "examples.tasks.pictures:pictures").returncode == 0
    done = penstock("check", "examples.tasks.pictures:pictures", "--against", "HEAD")
    assert done.returncode == 65
    assert "every Go caller that was built before sends `side`" in done.stdout
    assert run(GO, "generate", "./clients", folder="examples").returncode == 0

    # Then the callers do not compile, and the compiler names the field
    done = run(GO, "vet", "./clients", folder="examples")
    assert done.returncode != 0
    assert "unknown field Side in struct literal of type pictures.ThumbnailArgs" in done.stderr
