"""The golden vectors of tasks through Python's converters; producer_go/internal/kitchen has the same test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.schema.decode import Decoders
from penstock.schema.encode import Encoders
from penstock.schema.library import Library
from penstock.schema.misfit import Misfit
from penstock.schema.model import Ref
from penstock.wire.codec import decode, pack
from penstock.wire.registry import MAX_BODY_BYTES
from tests.contract.test_vectors import joined, vectors

LIBRARY = Library(Path(__file__).parent / "tasks")


@pytest.mark.parametrize("vector", vectors("tasks/arguments.json"))
def test_arguments_fit_their_contract_or_are_refused_with_place_rule_and_kind(vector: dict[str, Any]) -> None:
    # Given a contract and arguments
    contract = LIBRARY.find(vector["task"], vector["version"])
    assert contract is not None
    body = joined(vector["hex"])
    value = decode(body)
    take = Decoders(contract).object(contract.arguments, {}, lambda made: made)

    # When they are read
    if vector["expect"] != "ok":
        with pytest.raises(Misfit) as caught:
            take(value)
        assert caught.value.details() == {key: vector[key] for key in ("path", "rule", "kind")}
        return
    made = {name: item for name, item in take(value).items() if name in value}

    # Then writing them gives the canonical bytes
    encoders = Encoders(contract)
    encoders.begin(1)
    assert (pack(encoders.of(contract.arguments)(made, 1), max_bytes=MAX_BODY_BYTES) == body) is vector["canonical"]


@pytest.mark.parametrize("vector", vectors("tasks/items.json"))
def test_items_fit_their_contract_or_are_not_sent_with_place_rule_and_kind(vector: dict[str, Any]) -> None:
    # Given a contract and what a task has yielded
    contract = LIBRARY.find(vector["task"], vector["version"])
    assert contract is not None
    assert contract.items is not None
    body = joined(vector["hex"])
    value = decode(body)
    encoders = Encoders(contract)
    encoders.begin(1)
    write = encoders.of(Ref(name=contract.items))

    # When it is written, then it has the canonical bytes, or is no item
    if vector["expect"] == "ok":
        assert (pack(write(value, 1), max_bytes=MAX_BODY_BYTES) == body) is vector["canonical"]
        return
    with pytest.raises(Misfit) as caught:
        write(value, 1)
    assert caught.value.details("item") == {key: vector[key] for key in ("path", "rule", "kind")}
