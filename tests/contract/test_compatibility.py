"""The verdicts on changes hold for values: one is refused by the other side just when the change breaks."""

from __future__ import annotations

from typing import Any, Final

import pytest

from penstock.schema.decode import Decoders
from penstock.schema.misfit import Misfit
from penstock.schema.model import Contract, Object
from penstock.wire.codec import decode, encode
from tests.helpers.samples import Sampler
from tests.unit.contract.test_compat import CHANGES, with_part

SAMPLES: Final = 300
#: Changes that break callers though every value is still taken: they mean something else, or are missed.
UNSEEN: Final = {
    ("default changed", "arguments"): "the worker takes another value for what is left out",
    ("default came", "arguments"): "the worker takes a value for what is left out",
    ("optional property removed", "result"): "a caller that reads it finds it missing every time",
    ("enum opened", "result"): "so far the enum has no other value; it may have one without a further change",
    ("format came", "result"): "each of the new texts is a str",
}
#: Changes that are allowed though an int beyond ±2^53 is no float: the dialect says so beside them.
LARGE_INTS: Final = {
    ("int becomes float", "arguments"),
    ("float becomes int", "result"),
    ("values of a map change", "arguments"),
}


def refused(writer: Contract, reader: Contract, role: str) -> bool:
    """Whether there is a value of one contract that the other does not take, in this role."""
    written, taken = (_in_role(each, role) for each in (writer, reader))
    take = Decoders(reader).object(taken, {}, lambda made: made)
    known = {of.name for of in taken.properties}
    for seed in range(SAMPLES):
        value = decode(encode(Sampler(writer, seed).value(written)))
        if role != "arguments":  # readers of the others ignore what they do not know
            value = {name: item for name, item in value.items() if name in known}
        try:
            take(value)
        except Misfit:
            return True
    return False


def _in_role(contract: Contract, role: str) -> Object:
    """The type that has this role."""
    name = {"arguments": contract.args, "result": contract.result, "items": contract.items}[role]
    assert name is not None
    found = contract.defs[name]
    assert isinstance(found, Object)
    return found


@pytest.mark.parametrize("role", ["arguments", "result", "items"])
@pytest.mark.parametrize("change", CHANGES, ids=[change[0] for change in CHANGES])
def test_a_change_breaks_a_value_just_when_the_table_says_so(
    change: tuple[str, Any, Any, bool, bool, str], role: str
) -> None:
    # Given a contract before and after a change: arguments are written by the old side, the rest by the new one
    name, before, after, in_arguments, in_result, _ = change
    old, new = with_part(role, before if role == "arguments" else _read_openly(before)), with_part(role, after)
    writer, reader = (old, new) if role == "arguments" else (new, old)

    # When the other side reads values of every kind, then one is refused just when the change breaks
    breaks = in_arguments if role == "arguments" else in_result
    case = (name, "arguments" if role == "arguments" else "result")
    assert refused(writer, reader, role) is ((breaks and case not in UNSEEN) or case in LARGE_INTS)


def _read_openly(part: Any) -> Any:
    """Readers of results keep what is new to an open enum, so to them it is any text."""
    return {"type": part["type"]} if isinstance(part, dict) and part.get("x-open-enum") else part
