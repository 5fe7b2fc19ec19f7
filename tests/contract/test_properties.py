"""What holds for every value: properties over strategies that the contracts themselves say."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.schema.decode import _MAKERS, Decoders
from penstock.schema.encode import Encoders
from penstock.schema.misfit import Misfit
from penstock.schema.model import Contract, Ref, Type, children
from penstock.schema.reader import load
from penstock.wire.codec import decode, encode, pack
from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.scan import scan
from tests.helpers.samples import mutated
from tests.helpers.strategies import values

TASKS = Path(__file__).parent / "tasks"
CONTRACTS = [load(path) for path in sorted(TASKS.rglob("*.json"))]
#: The same examples in every run; a run with another seed is `--hypothesis-seed=N`.
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PROFILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)), inner, max_size=4
        )
    ),
    max_leaves=20,
)


def titled(contract: Contract) -> str:
    return f"{contract.name}-v{contract.version}"


@PROPERTY
@given(PROFILE)
def test_a_value_of_the_profile_survives_and_has_one_encoding(value: Any) -> None:
    body = encode(value)
    assert decode(body) == value
    assert encode(decode(body)) == body


@PROPERTY
@given(st.binary(max_size=200))
def test_what_the_scan_accepts_is_decoded_and_what_it_refuses_is_not(body: bytes) -> None:
    try:
        scan(body)
    except WireError:
        with pytest.raises(WireError):
            decode(body)
        return
    try:
        value = decode(body)
    except WireError as error:
        broken = str(error)
    else:
        assert encode(decode(encode(value))) == encode(value)
        return
    # The scan leaves two rules to the decoder.
    assert any(rule in broken for rule in ("P5", "P6"))


@pytest.mark.parametrize("contract", CONTRACTS, ids=titled)
def test_every_value_of_the_arguments_is_valid_and_survives(contract: Contract) -> None:
    take = Decoders(contract).object(contract.arguments, {}, lambda made: made)
    encoders = Encoders(contract)
    write = encoders.of(contract.arguments)

    @PROPERTY
    @given(values(contract, contract.arguments))
    def survives(value: dict[str, Any]) -> None:
        # Given a value of the arguments on the wire, read and written again under the contract
        sent = decode(encode(value))
        encoders.begin(1)
        body = pack(write(only(take(sent), value), 1), max_bytes=MAX_BODY_BYTES)

        # Then a second round changes nothing
        encoders.begin(1)
        assert pack(write(only(take(decode(body)), value), 1), max_bytes=MAX_BODY_BYTES) == body

    survives()


@pytest.mark.parametrize("contract", CONTRACTS, ids=titled)
def test_a_value_with_one_thing_wrong_is_refused_or_still_valid_but_never_crashes(contract: Contract) -> None:
    """Some mutations give another valid value; those that break a required property or a tag never do."""
    take = Decoders(contract).object(contract.arguments, {}, lambda made: made)

    @PROPERTY
    @given(values(contract, contract.arguments), st.integers(0, 2**32))
    def judged(value: dict[str, Any], seed: int) -> None:
        made = decode(encode(mutated(value, random.Random(seed))))
        if not isinstance(made, dict):
            return
        names = {of.name for of in contract.arguments.properties}
        required = {of.name for of in contract.arguments.properties if of.required}
        if set(made) <= names and required <= set(made):
            with contextlib.suppress(Misfit):
                take(made)
            return
        with pytest.raises(Misfit) as caught:
            take(made)
        assert caught.value.details()["rule"]

    judged()


@pytest.mark.parametrize("contract", CONTRACTS, ids=titled)
def test_a_required_argument_that_is_missing_or_one_too_many_is_always_refused(contract: Contract) -> None:
    take = Decoders(contract).object(contract.arguments, {}, lambda made: made)

    @PROPERTY
    @given(values(contract, contract.arguments), st.data())
    def refused(value: dict[str, Any], data: st.DataObject) -> None:
        value = decode(encode(value))
        with pytest.raises(Misfit) as caught:
            take({**value, "zz_unknown": 1})
        assert caught.value.details() == {"path": "zz_unknown", "rule": "unknown", "kind": "int"}
        required = [of.name for of in contract.arguments.properties if of.required]
        if required:
            name = data.draw(st.sampled_from(required))
            with pytest.raises(Misfit) as caught:
                take({key: item for key, item in value.items() if key != name})
            assert caught.value.details() == {"path": name, "rule": "missing", "kind": "absent"}

    refused()


def only(made: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """What was sent, without the defaults that the worker adds."""
    return {name: item for name, item in made.items() if name in sent}


def test_the_contracts_have_every_type() -> None:
    kinds = {type(type_) for contract in CONTRACTS for type_ in _all(contract)}
    assert kinds == {*_MAKERS, Ref}


def _all(contract: Contract) -> Iterator[Type]:
    waiting = list(contract.defs.values())
    while waiting:
        type_ = waiting.pop()
        yield type_
        waiting += children(type_)
