"""How a value breaks a contract: the place, the rule, and what kind of value was there. Never the value itself."""

from __future__ import annotations

import json
from typing import Any, Final

from msgpack import Timestamp

_KINDS: Final = {
    type(None): "nil",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bin",
    list: "array",
    tuple: "array",
    dict: "map",
    Timestamp: "timestamp",
}
#: Longest path, in steps.
_STEPS: Final = 20


class Misfit(Exception):  # noqa: N818 -- the word for it
    """A value does not fit its type.

    Args:
        rule: The rule of contracts/DIALECT.md that it breaks.
        what: The same in words, without the value.
        kind: What kind of value was there, in the words of the profile.

    Attributes:
        steps: The way to the value, innermost first; each container that the exception leaves adds its own.
    """

    def __init__(self, rule: str, what: str, kind: str) -> None:
        super().__init__(what)
        self.rule = rule
        self.kind = kind
        self.steps: list[str] = []

    def path(self, root: str = "") -> str:
        """The place: `values[3].x`; `root` is what its first word hangs on."""
        steps = self.steps[::-1]
        if len(steps) > _STEPS:
            steps = [*steps[:_STEPS], "..."]
        return (root + "".join(steps)).lstrip(".")

    def details(self, root: str = "") -> dict[str, str]:
        """What a program wants to know."""
        return {"path": self.path(root), "rule": self.rule, "kind": self.kind}

    def text(self, root: str = "") -> str:
        """What a person wants to know."""
        there = "" if self.kind == "absent" else f" (it is {article(self.kind)})"
        return f"{self.path(root) or 'the arguments'}: {self}{there}"


def kind_of(value: Any) -> str:
    """What kind of value it is, in the words of the profile; of a value that is none of its kinds, its type."""
    if (kind := _KINDS.get(type(value))) is not None:
        return kind
    return "timestamp" if hasattr(value, "utcoffset") else type(value).__name__


def step(name: str) -> str:
    """The step to a property or a key."""
    if name.isascii() and name.isidentifier():
        return f".{name}"
    return f"[{json.dumps(name)}]"


def article(kind: str) -> str:
    """`a str`, `an int`, `nil`."""
    if kind == "nil":
        return kind
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"
