"""What a change of a contract breaks, for whom, and what to do: the table of contracts/DIALECT.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.schema.compare import Change, Role, Rule, changes
from penstock.schema.model import Contract
from penstock.wire.registry import STREAM_WINDOW

#: Days after which a deprecated version may be deleted: no job of it can be left by then.
RETENTION_DAYS: Final = 30

#: Rules that break callers when the change is in the arguments, and in the result or the items.
_BREAKS: Final[Mapping[Rule, tuple[bool, bool]]] = {
    Rule.OPTIONAL_ADDED: (False, False),
    Rule.REQUIRED_ADDED: (True, False),
    Rule.PROPERTY_REMOVED: (True, True),
    Rule.PROPERTY_RENAMED: (True, True),
    Rule.BECAME_REQUIRED: (True, False),
    Rule.BECAME_OPTIONAL: (False, True),
    Rule.DEFAULT_CHANGED: (True, False),
    Rule.ENUM_VALUE_ADDED: (False, True),
    Rule.OPEN_ENUM_VALUE_ADDED: (False, False),
    Rule.ENUM_VALUE_REMOVED: (True, False),
    Rule.ENUM_OPENED: (False, True),
    Rule.ENUM_CLOSED: (False, False),
    Rule.VARIANT_ADDED: (False, True),
    Rule.VARIANT_REMOVED: (True, False),
    Rule.WIDENED: (False, True),
    Rule.NARROWED: (True, False),
    Rule.TYPE_CHANGED: (True, True),
    Rule.WIRE_CHANGED: (True, True),
    Rule.FORMAT_CHANGED: (True, True),
    Rule.DTYPE_CHANGED: (True, True),
    Rule.DISCRIMINATOR_CHANGED: (True, True),
    Rule.TASK_RENAMED: (True, True),
    Rule.ERROR_ADDED: (False, False),
    Rule.ERROR_REMOVED: (False, False),
    Rule.POSITIONAL_CHANGED: (False, False),
    Rule.ITEMS_ADDED: (True, True),
    Rule.ITEMS_REMOVED: (True, True),
}

#: By rule: what it means for callers when it is in the arguments, and in the result or the items.
_MEANS: Final[Mapping[Rule, tuple[str, str]]] = {
    Rule.OPTIONAL_ADDED: (
        "callers may send it; deploy workers before callers, for an old worker refuses it as unknown",
        "callers that know it read it, others ignore it",
    ),
    Rule.REQUIRED_ADDED: (
        "every Go caller that was built before does not send it, and its jobs are answered with INVALID_ARGS",
        "callers that know it read it, others ignore it",
    ),
    Rule.PROPERTY_REMOVED: (
        "every Go caller that was built before sends it, and its jobs are answered with INVALID_ARGS",
        "every Go caller that was built before reads it, and it does not come any more",
    ),
    Rule.PROPERTY_RENAMED: (
        (
            "every Go caller that was built before sends `{old}`, which the worker no longer knows, and does not "
            "send `{new}`; its jobs are answered with INVALID_ARGS, and Go code that sets the field does not compile "
            "once its client is generated anew"
        ),
        (
            "every Go caller that was built before reads `{old}`, which does not come any more, and Go code that reads "
            "the field does not compile once its client is generated anew"
        ),
    ),
    Rule.BECAME_REQUIRED: (
        "a caller that was built before may leave it out, and its jobs are answered with INVALID_ARGS",
        "callers find it in every result",
    ),
    Rule.BECAME_OPTIONAL: (
        "callers may leave it out",
        "every Go caller that was built before needs it, and it may be missing now",
    ),
    Rule.DEFAULT_CHANGED: (
        "a caller that leaves it out gets {new} instead of {old}, another answer without a word",
        "nothing: defaults are for arguments",
    ),
    Rule.ENUM_VALUE_ADDED: ("callers may send `{new}`", "a Go caller that was built before does not know `{new}`"),
    Rule.OPEN_ENUM_VALUE_ADDED: (
        "callers may send `{new}`",
        "the enum is open: callers keep values that are new to them",
    ),
    Rule.ENUM_VALUE_REMOVED: (
        "a caller may still send `{old}`, and its jobs are answered with INVALID_ARGS",
        "`{old}` does not come any more",
    ),
    Rule.ENUM_OPENED: ("nothing", "a Go caller that was built before does not bear values that are new to it"),
    Rule.ENUM_CLOSED: ("nothing", "callers need not reckon with other values"),
    Rule.VARIANT_ADDED: ("callers may send `{new}`", "a Go caller that was built before does not know `{new}`"),
    Rule.VARIANT_REMOVED: (
        "a caller may still send `{old}`, and its jobs are answered with INVALID_ARGS",
        "`{old}` does not come any more",
    ),
    Rule.WIDENED: ("callers may send more", "a Go caller that was built before takes {old}, and may get {new}"),
    Rule.NARROWED: (
        (
            "a caller that was built before may send {old}, the worker takes {new}; the others' jobs are answered with "
            "INVALID_ARGS"
        ),
        "callers get less than they reckon with",
    ),
    Rule.ERROR_ADDED: (
        "",
        "callers may get the code `{new}`; a caller needs a default for codes that it does not know",
    ),
    Rule.ERROR_REMOVED: ("", "`{old}` does not come any more; Go code that names it needs its old client"),
    Rule.POSITIONAL_CHANGED: ("nothing: the wire has names", ""),
    Rule.ITEMS_ADDED: (
        "",
        (
            "every Go caller that was built before waits for the result and takes no items: they are dropped, or, by a "
            f"client that knows no items, the task stops once it has yielded {STREAM_WINDOW} and runs into its "
            "timeout; Go code does not compile once its client is generated anew, for the call gives the items then "
            "and no result"
        ),
    ),
    Rule.ITEMS_REMOVED: (
        "",
        (
            "every Go caller that was built before waits for items, and none come; Go code that ranges over them does "
            "not compile once its client is generated anew"
        ),
    ),
    Rule.TASK_RENAMED: ("no caller finds the task any more", "no caller finds the task any more"),
}
_OTHER: Final = (
    "a caller that was built before sends {old}, the worker takes {new}; its jobs are answered with INVALID_ARGS",
    "a Go caller that was built before reads {old}, and gets {new}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A change and what it means.

    Attributes:
        rule: Its kind, a stable name; VERSION_REMOVED for a file that is gone.
        breaks: Whether it breaks somebody.
        where: In which part: arguments, result, items, or the task.
        path: The place.
        change: What was changed.
        means: What that means, for whom.
        remedy: What to do; "" when nothing has to be.
    """

    rule: str
    breaks: bool
    where: str
    path: str
    change: str
    means: str
    remedy: str


def judge(old: Contract, new: Contract) -> list[Finding]:
    """What is different in a new contract, the breaking changes first."""
    return sorted((_finding(change, new) for change in changes(old, new)), key=lambda finding: not finding.breaks)


def removed(old: Contract, today: dt.date) -> Finding:
    """What the deletion of a version means."""
    since = old.deprecated_since
    over = since is not None and (today - dt.date.fromisoformat(since)).days > RETENTION_DAYS
    title = f"{old.name} v{old.version}"
    how = f"deprecated since {since}" if since else "not deprecated"
    return Finding(
        rule="VERSION_REMOVED",
        breaks=not over,
        where="the task",
        path=title,
        change=f"the contract is gone; it was {how}",
        means="nobody can be left who calls it"
        if over
        else "jobs of this version may be on their way, and are answered with UNSUPPORTED_TASK_VERSION",
        remedy=""
        if over
        else f"put it back with deprecated_since, and delete it when that is more than {RETENTION_DAYS} days ago",
    )


def _finding(change: Change, new: Contract) -> Finding:
    breaks = _BREAKS[change.rule][1 if change.role in (Role.RESULT, Role.ITEMS) else 0]
    means = _MEANS.get(change.rule, _OTHER)[1 if change.role is not Role.ARGS else 0]
    following = new.version + 1
    remedy = (
        f"leave v{new.version} as it is and write the new one beside it: version={following} of the task, "
        f"{new.name}/v{following}.json; a worker serves both until no caller of v{new.version} is left"
    )
    return Finding(
        rule=change.rule,
        breaks=breaks,
        where=str(change.role or "the task"),
        path=change.path,
        change=_said(change),
        means=means.format(old=_shown(change.old), new=_shown(change.new)),
        remedy=remedy if breaks else "",
    )


def _shown(text: str) -> str:
    return "none" if text == "ABSENT" else text


def _said(change: Change) -> str:
    old, new = _shown(change.old), _shown(change.new)
    match change.rule:
        case Rule.PROPERTY_RENAMED:
            return f"`{old}` was renamed to `{new}`"
        case _ if not old:
            return f"{new} is new"
        case _ if not new:
            return f"{old} is gone"
    return f"{old} became {new}"
