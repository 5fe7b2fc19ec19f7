"""How two contracts differ, part by part. What a difference means for whom is decided elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.schema.model import (
    ABSENT,
    Array,
    Bin,
    Contract,
    Enum,
    Float,
    Formatted,
    Int,
    Map,
    NDArray,
    Nullable,
    Object,
    Property,
    Ref,
    Str,
    Timestamp,
    Tuple,
    Type,
    Union,
)
from penstock.schema.words import words


class Role(StrEnum):
    """Which way values of a type go."""

    ARGS = "arguments"
    RESULT = "result"
    ITEMS = "items"


class Rule(StrEnum):
    """What kind of change it is."""

    OPTIONAL_ADDED = "OPTIONAL_ADDED"
    REQUIRED_ADDED = "REQUIRED_ADDED"
    PROPERTY_REMOVED = "PROPERTY_REMOVED"
    PROPERTY_RENAMED = "PROPERTY_RENAMED"
    BECAME_REQUIRED = "BECAME_REQUIRED"
    BECAME_OPTIONAL = "BECAME_OPTIONAL"
    DEFAULT_CHANGED = "DEFAULT_CHANGED"
    ENUM_VALUE_ADDED = "ENUM_VALUE_ADDED"
    OPEN_ENUM_VALUE_ADDED = "OPEN_ENUM_VALUE_ADDED"
    ENUM_VALUE_REMOVED = "ENUM_VALUE_REMOVED"
    ENUM_OPENED = "ENUM_OPENED"
    ENUM_CLOSED = "ENUM_CLOSED"
    VARIANT_ADDED = "VARIANT_ADDED"
    VARIANT_REMOVED = "VARIANT_REMOVED"
    WIDENED = "WIDENED"
    NARROWED = "NARROWED"
    TYPE_CHANGED = "TYPE_CHANGED"
    WIRE_CHANGED = "WIRE_CHANGED"
    FORMAT_CHANGED = "FORMAT_CHANGED"
    DTYPE_CHANGED = "DTYPE_CHANGED"
    DISCRIMINATOR_CHANGED = "DISCRIMINATOR_CHANGED"
    TASK_RENAMED = "TASK_RENAMED"
    ERROR_ADDED = "ERROR_ADDED"
    ERROR_REMOVED = "ERROR_REMOVED"
    POSITIONAL_CHANGED = "POSITIONAL_CHANGED"
    ITEMS_ADDED = "ITEMS_ADDED"
    ITEMS_REMOVED = "ITEMS_REMOVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        rule: Its kind.
        role: Where it lies; None: in the task as a whole.
        path: The place: `values[].x`; of a result `result.mean`, of an item `item.mean`.
        old: What was there, in words.
        new: What is there now.
    """

    rule: Rule
    role: Role | None
    path: str
    old: str
    new: str


def changes(old: Contract, new: Contract) -> list[Change]:
    """All differences that mean something: not descriptions, names of types, or the order of properties."""
    found = []
    if old.name != new.name:
        found.append(Change(rule=Rule.TASK_RENAMED, role=None, path="the task", old=old.name, new=new.name))
    found += _Walk(old, new, Role.ARGS).types(Ref(name=old.args), Ref(name=new.args), "")
    found += _Walk(old, new, Role.RESULT).types(Ref(name=old.result), Ref(name=new.result), "result")
    found += _items(old, new)
    for code in sorted(old.errors.keys() ^ new.errors.keys()):
        rule = Rule.ERROR_ADDED if code in new.errors else Rule.ERROR_REMOVED
        before, after = ("", code) if code in new.errors else (code, "")
        found.append(Change(rule=rule, role=None, path="the errors", old=before, new=after))
    if old.positional != new.positional:
        texts = [", ".join(of.positional) or "none" for of in (old, new)]
        found.append(
            Change(rule=Rule.POSITIONAL_CHANGED, role=None, path="x-task.positional", old=texts[0], new=texts[1])
        )
    return found


def _items(old: Contract, new: Contract) -> Iterator[Change]:
    """The differences in what the task yields."""
    if old.items is not None and new.items is not None:
        yield from _Walk(old, new, Role.ITEMS).types(Ref(name=old.items), Ref(name=new.items), "item")
    elif new.items is not None:
        yield Change(rule=Rule.ITEMS_ADDED, role=None, path="the items", old="", new=words(new.defs[new.items]))
    elif old.items is not None:
        yield Change(rule=Rule.ITEMS_REMOVED, role=None, path="the items", old=words(old.defs[old.items]), new="")


class _Walk:
    """One way through both contracts, in one role."""

    def __init__(self, old: Contract, new: Contract, role: Role) -> None:
        self._old = old
        self._new = new
        self._role = role
        #: Pairs of named types that have been compared: a type may hold itself.
        self._seen: set[tuple[str, str]] = set()

    def types(self, old: Type, new: Type, path: str) -> Iterator[Change]:
        """The differences between two types."""
        if isinstance(old, Ref) and isinstance(new, Ref):
            if (pair := (old.name, new.name)) in self._seen:
                return
            self._seen.add(pair)
        old, new = self._old.resolve(old), self._new.resolve(new)
        if isinstance(old, Nullable) or isinstance(new, Nullable):
            yield from self._nullable(old, new, path)
        elif type(old) is type(new):
            yield from self._same_kind(old, new, path)
        else:
            yield self._change(self._other_kind(old, new), path, words(old), words(new))

    def _change(self, rule: Rule, path: str, old: str, new: str) -> Change:
        return Change(rule=rule, role=self._role, path=path or "the arguments", old=old, new=new)

    def _nullable(self, old: Type, new: Type, path: str) -> Iterator[Change]:
        if isinstance(old, Nullable) and isinstance(new, Nullable):
            yield from self.types(old.of, new.of, path)
            return
        inner_old = old.of if isinstance(old, Nullable) else old
        inner_new = new.of if isinstance(new, Nullable) else new
        rule = Rule.NARROWED if isinstance(old, Nullable) else Rule.WIDENED
        yield self._change(rule, path, words(old), words(new))
        yield from self.types(inner_old, inner_new, path)

    @staticmethod
    def _other_kind(old: Type, new: Type) -> Rule:
        """The rule for two types of different kinds."""
        pair = (type(old), type(new))
        if pair == (Int, Float) or (isinstance(old, Enum) and isinstance(new, Str) and old.base is str):
            return Rule.WIDENED
        if pair == (Float, Int) or (isinstance(new, Enum) and isinstance(old, Str) and new.base is str):
            return Rule.NARROWED
        if Formatted in pair and Str in pair:
            return Rule.FORMAT_CHANGED
        # Types that are all strings to JSON Schema, and objects: what differs is x-wire.
        strings = {Str, Bin, Timestamp, Formatted, Enum}
        if {*pair} <= strings or ({*pair} & {NDArray} and {*pair} & {Map, Object, Array}):
            return Rule.WIRE_CHANGED
        return Rule.TYPE_CHANGED

    def _same_kind(self, old: Type, new: Type, path: str) -> Iterator[Change]:  # noqa: C901 -- a case per type
        match old, new:
            case Object(), Object():
                yield from self._objects(old, new, path)
            case Union(), Union():
                yield from self._unions(old, new, path)
            case Enum(), Enum():
                yield from self._enums(old, new, path)
            case Array(), Array():
                yield from self._bounds(old, new, path)
                yield from self.types(old.items, new.items, f"{path}[]")
            case Map(), Map():
                yield from self._bounds(old, new, path)
                yield from self.types(old.values, new.values, f"{path}{{}}")
            case Tuple(), Tuple():
                if len(old.items) != len(new.items):
                    yield self._change(Rule.TYPE_CHANGED, path, words(old), words(new))
                    return
                for index, (before, after) in enumerate(zip(old.items, new.items, strict=True)):
                    yield from self.types(before, after, f"{path}[{index}]")
            case Formatted(), Formatted() if old != new:
                yield self._change(Rule.FORMAT_CHANGED, path, words(old), words(new))
            case NDArray(), NDArray() if old.dtype != new.dtype:
                yield self._change(Rule.DTYPE_CHANGED, path, words(old), words(new))
            case _ if old != new:
                yield from self._bounds(old, new, path)

    def _bounds(self, old: Type, new: Type, path: str) -> Iterator[Change]:
        """Bounds of two types of one kind."""
        before, after = _room(old), _room(new)
        if before is None or after is None:
            if type(old) not in (Array, Map) and old != new:
                yield self._change(Rule.TYPE_CHANGED, path, words(old), words(new))
            return
        wider = any(new_bound > old_bound for old_bound, new_bound in zip(before, after, strict=True))
        narrower = any(new_bound < old_bound for old_bound, new_bound in zip(before, after, strict=True))
        if wider:
            yield self._change(Rule.WIDENED, path, words(old), words(new))
        if narrower:
            yield self._change(Rule.NARROWED, path, words(old), words(new))

    def _enums(self, old: Enum, new: Enum, path: str) -> Iterator[Change]:
        if old.base is not new.base:
            yield self._change(Rule.TYPE_CHANGED, path, words(old), words(new))
            return
        if old.open != new.open:
            texts = ["open" if of.open else "closed" for of in (old, new)]
            yield self._change(Rule.ENUM_OPENED if new.open else Rule.ENUM_CLOSED, path, *texts)
        before, after = list(map(str, old.values)), list(map(str, new.values))
        for value in after:
            if value not in before:
                rule = Rule.OPEN_ENUM_VALUE_ADDED if old.open and new.open else Rule.ENUM_VALUE_ADDED
                yield self._change(rule, path, "", value)
        for value in before:
            if value not in after:
                yield self._change(Rule.ENUM_VALUE_REMOVED, path, value, "")

    def _unions(self, old: Union, new: Union, path: str) -> Iterator[Change]:
        if old.discriminator != new.discriminator:
            yield self._change(Rule.DISCRIMINATOR_CHANGED, path, old.discriminator, new.discriminator)
            return
        before, after = self._old.variants(old), self._new.variants(new)
        for value in after:
            if value not in before:
                yield self._change(Rule.VARIANT_ADDED, path, "", value)
        for value in before:
            if value not in after:
                yield self._change(Rule.VARIANT_REMOVED, path, value, "")
            else:
                yield from self._objects(before[value], after[value], f"{path}({value})")

    def _objects(self, old: Object, new: Object, path: str) -> Iterator[Change]:
        before, after = ({p.name: p for p in of.properties} for of in (old, new))
        removed = [p for name, p in before.items() if name not in after]
        added = [p for name, p in after.items() if name not in before]
        if len(removed) == len(added) == 1 and _alike(removed[0], added[0]):
            renamed = self._change(Rule.PROPERTY_RENAMED, _at(path, removed[0].name), removed[0].name, added[0].name)
            yield renamed
            removed, added = [], []
        for one in removed:
            yield self._change(Rule.PROPERTY_REMOVED, _at(path, one.name), words(one.type), "")
        for one in added:
            rule = Rule.REQUIRED_ADDED if one.required else Rule.OPTIONAL_ADDED
            yield self._change(rule, _at(path, one.name), "", words(one.type))
        for name, was in before.items():
            if name in after:
                yield from self._properties(was, after[name], _at(path, name))

    def _properties(self, old: Property, new: Property, path: str) -> Iterator[Change]:
        if old.required != new.required:
            rule = Rule.BECAME_REQUIRED if new.required else Rule.BECAME_OPTIONAL
            yield self._change(rule, path, *("required" if of.required else "optional" for of in (old, new)))
        elif _other_default(old, new):
            yield self._change(Rule.DEFAULT_CHANGED, path, repr(old.default), repr(new.default))
        yield from self.types(old.type, new.type, path)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")


def _alike(old: Property, new: Property) -> bool:
    return old.type == new.type and old.required == new.required


def _other_default(old: Property, new: Property) -> bool:
    """Whether the defaults differ; 1 and 1.0 are the same number, True is none."""
    return old.default != new.default or (type(old.default) is bool) is not (type(new.default) is bool)


def _room(type_: Type) -> tuple[Any, ...] | None:
    """How far a type reaches in each direction: what grows admits more. None: it has no bounds."""
    match type_:
        case Int(minimum=low, maximum=high):
            return (-_low(low), _high(high))
        case Float():
            # A bound that is excluded reaches a little less far than the same one that is included.
            least = _low(type_.minimum) if type_.exclusive_minimum is None else type_.exclusive_minimum
            most = _high(type_.maximum) if type_.exclusive_maximum is None else type_.exclusive_maximum
            return (
                (-least, type_.exclusive_minimum is None),
                (most, type_.exclusive_maximum is None),
                type_.nonfinite,
            )
        case Str(min_length=low, max_length=high) | Bin(min_length=low, max_length=high):
            return (-_low(low or 0), _high(high))
        case Array(min_items=low, max_items=high) | Map(min_properties=low, max_properties=high):
            return (-_low(low or 0), _high(high))
        case NDArray(min_items=low, max_items=high):
            # A number of dimensions is a bound against any number; two different ones are both.
            dimensions = (math.inf, math.inf) if type_.ndim is None else (type_.ndim, -type_.ndim)
            return (-_low(low or 0), _high(high), type_.nonfinite, *dimensions)
    return None


def _low(value: float | None) -> float:
    return -math.inf if value is None else value


def _high(value: float | None) -> float:
    return math.inf if value is None else value


def drift(derived: Contract, committed: Contract) -> list[str]:
    """Where a function's signature says something else than its committed contract; a sentence each."""
    return [_drifted(change) for change in changes(committed, derived)]


def _drifted(change: Change) -> str:
    match change.rule:
        case Rule.PROPERTY_RENAMED:
            callers = f"Go callers {'send' if change.role is Role.ARGS else 'read'} `{change.old}`"
            return f"{change.path}: the contract calls it {change.old}, the code {change.new}; {callers}"
        case Rule.PROPERTY_REMOVED:
            return f"{change.path}: the contract has it ({change.old}), the code has not"
        case Rule.OPTIONAL_ADDED | Rule.REQUIRED_ADDED:
            return f"{change.path}: the code has it ({change.new}), the contract has not"
        case Rule.ITEMS_ADDED:
            return f"{change.path}: the function yields {change.new}, the contract has no x-task.items"
        case Rule.ITEMS_REMOVED:
            return f"{change.path}: the contract has x-task.items ({change.old}), the function yields nothing"
        case Rule.DEFAULT_CHANGED:
            old, new = _default(change.old), _default(change.new)
            return f"{change.path}: the default is {old} in the contract, {new} in the code"
        case Rule.DISCRIMINATOR_CHANGED:
            how = f"the contract tells its objects apart by `{change.old}`, the code by `{change.new}`"
            return f"{change.path}: {how}"
    if not change.old:
        return f"{change.path}: the code has `{change.new}`, the contract has not"
    if not change.new:
        return f"{change.path}: the contract has `{change.old}`, the code has not"
    return f"{change.path}: the contract says {change.old}, the code {change.new}"


def _default(text: str) -> str:
    return "none" if text == repr(ABSENT) else text
