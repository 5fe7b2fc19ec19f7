"""What is wrong with a contract: collected, with its place, and told all at once."""

from __future__ import annotations

from penstock.errors import ContractError


class Problems:
    """Collects problems of one document.

    Args:
        source: What messages call it, usually its path.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note a problem at a place, `$defs.Summary.properties.mean`; an empty one is the whole document."""
        self._found.append(f"{where}: {what}" if where else what)

    def __bool__(self) -> bool:
        return bool(self._found)

    def check(self) -> None:
        """Raise what was found, if anything.

        Raises:
            ContractError: With a line for each problem.
        """
        if self._found:
            lines = "\n".join(f"  {problem}" for problem in self._found)
            raise ContractError(f"{self._source} is no contract:\n{lines}")
