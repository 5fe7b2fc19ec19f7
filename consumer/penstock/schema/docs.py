"""Docstrings taken apart: the text, and what it says of each argument. Google's, numpy's and Sphinx's styles."""

from __future__ import annotations

import re
from typing import Final

_GOOGLE: Final = re.compile(r"(Args|Arguments|Parameters|Attributes|Fields):\s*")
_NUMPY: Final = re.compile(r"(Parameters|Attributes)")
_SECTION: Final = re.compile(r"(Returns?|Yields?|Raises|Examples?|Notes?|See Also|Warnings?|References):\s*")
_GOOGLE_ITEM: Final = re.compile(r"(\*{0,2}[A-Za-z_]\w*)\s*(?:\([^)]*\))?:\s*(.*)")
_NUMPY_ITEM: Final = re.compile(r"(\*{0,2}[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*(?::.*)?")
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|var|ivar)\s+(?:[^:]*\s)?([A-Za-z_]\w*):\s*(.*)")


def described(doc: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and the description of each argument or attribute.

    Args:
        doc: A docstring without its indentation, as `inspect.getdoc` gives it.
    """
    lines = doc.splitlines()
    found: dict[str, str] = {}
    text: list[str] = []
    index, in_text = 0, True
    while index < len(lines):
        line = lines[index]
        if _GOOGLE.fullmatch(line):
            index = _google(lines, index + 1, found)
            in_text = False
        elif _NUMPY.fullmatch(line) and index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}:
            index = _numpy(lines, index + 2, found)
            in_text = False
        elif match := _SPHINX.match(line):
            index = _item(lines, index + 1, 1, found, match[1], match[2])
            in_text = False
        else:
            if (
                _SECTION.fullmatch(line)
                or _underlined(lines, index)
                or line.startswith((":return", ":rtype", ":raise"))
            ):
                in_text = False
            if in_text:
                text.append(line)
            index += 1
    return _joined(text), found


def _underlined(lines: list[str], index: int) -> bool:
    """Whether a line is a heading of numpy's style."""
    below = lines[index + 1].strip() if index + 1 < len(lines) else ""
    return bool(lines[index].strip()) and len(below) > 2 and set(below) == {"-"}


def _google(lines: list[str], index: int, found: dict[str, str]) -> int:
    """Read `name (type): text` lines; returns the index behind the section."""
    depth = _depth(lines[index]) if index < len(lines) else 0
    while index < len(lines) and (not lines[index].strip() or (depth and _depth(lines[index]) >= depth)):
        match = _GOOGLE_ITEM.fullmatch(lines[index].strip())
        if match is None:
            index += 1
            continue
        index = _item(lines, index + 1, depth + 1, found, match[1], match[2])
    return index


def _numpy(lines: list[str], index: int, found: dict[str, str]) -> int:
    """Read `name : type` lines, each followed by deeper ones; returns the index behind the section."""
    while index < len(lines) and not _underlined(lines, index):
        match = _NUMPY_ITEM.fullmatch(lines[index]) if _depth(lines[index]) == 0 and lines[index].strip() else None
        if match is None:
            index += 1
            continue
        first, *others = [name.strip() for name in match[1].split(",")]
        index = _item(lines, index + 1, 1, found, first, "")
        found.update(dict.fromkeys(others, found[first]))
    return index


def _item(lines: list[str], index: int, depth: int, found: dict[str, str], name: str, first: str) -> int:
    """Collect the lines that are at least so deep; returns the index behind them."""
    text = [first]
    while index < len(lines) and (not lines[index].strip() or _depth(lines[index]) >= depth):
        text.append(lines[index].strip())
        index += 1
    found[name] = _joined(text)
    return index


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: list[str]) -> str:
    """Lines as paragraphs: a single line break is a space."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(line.rstrip() for line in lines).strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())
