"""Pins every package that the set-up installs, with the hashes of its files.

    python3 ops/dev/lock.py [--upgrade]

Writes requirements.txt, go.txt, node.txt and second.txt beside this file, for every platform and Python version at
once: what one machine needs another may not (`async-timeout` below Python 3.11.3), and pip insists on a hash for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

#: Resolves for all platforms, which pip's own tools cannot.
UV = "uv==0.13.9"

#: What is compiled into what. Paths as they shall appear in the comments of the result.
LOCKS = {
    "ops/dev/requirements.txt": ["--extra=dev", "--extra=demo", "pyproject.toml", "ops/dev/requirements.in"],
    "ops/dev/go.txt": ["ops/dev/go.in"],
    "ops/dev/node.txt": ["ops/dev/node.in"],
    "ops/dev/second.txt": ["ops/dev/second.in"],
}
OPTIONS = [
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
]


def main() -> None:
    """Compile each lock file, keeping the pinned versions unless `--upgrade` is given."""
    # This machine's own package folders and indexes must not decide what everybody gets.
    env = {name: value for name, value in os.environ.items() if name not in {"PIP_FIND_LINKS", "UV_FIND_LINKS"}}
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        tools = Path(folder, "bin")
        subprocess.run([tools / "pip", "install", "--quiet", UV], env=env, check=True)
        for target, sources in LOCKS.items():
            argv = [str(tools / "uv"), "pip", "compile", *OPTIONS, *sys.argv[1:], *sources]
            subprocess.run([*argv, f"--output-file={target}"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True)
            pins = sum("==" in line for line in (ROOT / target).read_text().splitlines())
            print(f"lock       {pins} packages in {target}")


if __name__ == "__main__":
    main()
