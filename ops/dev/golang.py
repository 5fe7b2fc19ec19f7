"""Our Go modules, and which Go they ask for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Version = tuple[int, ...]


def modules() -> list[Path]:
    """Return the folders of our modules. Hidden folders hold other people's."""
    tops = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(path.parent for top in tops for path in top.rglob("go.mod"))


def wanted() -> Version:
    """Return the highest version that one of our modules asks for."""
    found = [re.search(r"^go ([\d.]+)", (path / "go.mod").read_text(), re.MULTILINE) for path in modules()]
    return max((_version(match[1]) for match in found if match), default=(1,))


def version(go: Path) -> Version:
    """Return the version of a `go` command, (0,) when it does not tell."""
    said = subprocess.run([go, "env", "GOVERSION"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"go(\d+(?:\.\d+)+)", said.stdout)
    return _version(found[1]) if found else (0,)


def _version(text: str) -> Version:
    return tuple(map(int, text.split(".")))
