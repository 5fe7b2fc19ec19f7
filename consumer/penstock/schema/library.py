"""The directory of contracts, as a worker finds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from penstock.errors import ContractError
from penstock.schema.model import Contract
from penstock.schema.reader import load


class Library:
    """Contracts by task and version; each is read when it is asked for.

    Args:
        directory: Where they lie: `<queue>.<function>/v<N>.json`.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def path(self, task: str, version: int) -> Path:
        """Where the contract of a task lies, if there is one."""
        return self.directory / task / f"v{version}.json"

    def find(self, task: str, version: int) -> Contract | None:
        """The contract of a task; None: there is none.

        Raises:
            ContractError: There is a file that is none.
        """
        path = self.path(task, version)
        return load(path) if path.exists() else None

    def digest(self, task: str, version: int) -> str | None:
        """The contract hash, as the header x-contract has it; None: there is no contract."""
        path = self.path(task, version)
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except FileNotFoundError:
            return None

    def files(self) -> list[Path]:
        """All files below the directory, in order.

        Raises:
            ContractError: There is no such directory.
        """
        if not self.directory.is_dir():
            raise ContractError(f"{self.directory}: there is no such directory of contracts")
        return sorted(path for path in self.directory.rglob("*") if path.is_file())
