"""The contracts of another revision, as git has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from penstock.errors import ContractError
from penstock.schema.model import Contract
from penstock.schema.reader import read


def contracts_at(revision: str, directory: Path) -> dict[tuple[str, int], Contract]:
    """The contracts that a revision has in a directory, by task and version; none when it did not have the directory.

    Args:
        revision: What git calls a revision: a branch, a tag, a commit.
        directory: The directory of contracts in the working tree.

    Raises:
        ContractError: There is no git, no repository, or no such revision (a shallow clone may lack it); nothing is
            skipped in silence.
    """
    existing = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    top = Path(_git(existing, "rev-parse", "--show-toplevel").strip())
    _git(
        top,
        "rev-parse",
        "--verify",
        "--quiet",
        f"{revision}^{{commit}}",
        what=f"revision {revision} (a shallow clone?)",
    )
    below = directory.absolute().resolve().relative_to(top.resolve()).as_posix()
    listed = _git(top, "ls-tree", "-r", "-z", "--name-only", revision, "--", below)
    found = {}
    for name in filter(None, listed.split("\0")):
        if name.endswith(".json"):
            contract = read(_git(top, "show", f"{revision}:{name}"), f"{name} at {revision}")
            found[contract.name, contract.version] = contract
    return found


def _git(folder: Path, *arguments: str, what: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- no shell, and the revision has been verified first
            ["git", "-C", str(folder), *arguments],  # noqa: S607 -- the user's git
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise ContractError(f"git cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise ContractError(f"git has no {what or arguments[0]} in {folder}" + (f": {said}" if said else ""))
    return done.stdout.decode()
