"""Everything that can be said about the code without running it. One line per check; output only on failure.

.venv/bin/python ops/dev/check.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from ops.dev import golang  # noqa: E402

BIN = ROOT / ".venv/bin"
GO = str(BIN / "go")

STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
GENERATORS = ("contracts/tools/generate.py",)
PENSTOCK = str(BIN / "penstock")
GEN = ("run", "github.com/penstock-mq/penstock/producer_go/cmd/penstock-gen", "-check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One tool on one part of the repository."""

    name: str
    argv: list[str]
    folder: Path = ROOT
    #: The tool says what is wrong on standard output and returns 0 all the same.
    silent_when_good: bool = False


def checks() -> Iterator[Check]:
    """Yield all checks, the fast ones first."""
    yield Check(name="ruff", argv=[str(BIN / "ruff"), "check", "--quiet"])
    yield Check(name="ruff format", argv=[str(BIN / "ruff"), "format", "--quiet", "--diff"])
    for generator in GENERATORS:
        yield Check(name=f"{generator} --check", argv=[sys.executable, generator, "--check"])
    yield from contracts()
    yield Check(name="mypy", argv=[str(BIN / "mypy")])
    gofmt = _goroot() / "bin/gofmt"
    for folder in golang.modules():
        where = folder.relative_to(ROOT)
        yield Check(name=f"gofmt {where}", argv=[str(gofmt), "-l", "."], folder=folder, silent_when_good=True)
        yield Check(name=f"go vet {where}", argv=[GO, "vet", "./..."], folder=folder)
        yield Check(name=f"staticcheck {where}", argv=[GO, "run", STATICCHECK, "./..."], folder=folder)


def contracts() -> Iterator[Check]:
    """Yield what holds code, contracts and generated clients together."""
    queues = sorted(path.stem for path in (ROOT / "examples/tasks").glob("*.py"))
    examples = [f"examples.tasks.{queue}:{queue}" for queue in queues]
    released = [f"--against={tag}" for tag in _last_tag()]
    yield Check(name="contracts of the examples", argv=[PENSTOCK, "contract", "check", *examples, *released])
    kitchen = ["tests.contract.kitchen:kitchen", "--contracts=tests/contract/tasks"]
    yield Check(name="contracts of the tests", argv=[PENSTOCK, "contract", "check", *kitchen])
    yield Check(name="contracts/asyncapi.json", argv=[PENSTOCK, "contract", "asyncapi", "--check"])
    for folder, source, out in (
        ("examples/clients", "../../contracts/tasks", "."),
        ("producer_go", "../tests/contract/tasks", "internal"),
    ):
        argv = [GO, *GEN, "-contracts", source, "-out", out]
        yield Check(name=f"penstock-gen {folder}", argv=argv, folder=ROOT / folder)


def _last_tag() -> list[str]:
    """The last release, from which callers may have been built; none before the first."""
    argv = ["git", "describe", "--tags", "--abbrev=0"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return [done.stdout.strip()] if done.returncode == 0 else []


def main() -> int:
    """Run all checks, whatever the earlier ones said; return 1 if any failed."""
    failed = [check.name for check in checks() if not _passes(check)]
    print(f"check      {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


def _passes(check: Check) -> bool:
    began = time.monotonic()
    done = subprocess.run(
        check.argv, cwd=check.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    good = done.returncode == 0 and not (check.silent_when_good and done.stdout)
    took = time.monotonic() - began
    print(f"check      {check.name}: {'ok' if good else 'FAILED'} ({took:.1f} s)", flush=True)
    if not good:
        print(done.stdout.rstrip(), flush=True)
    return good


def _goroot() -> Path:
    return Path(subprocess.run([GO, "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
