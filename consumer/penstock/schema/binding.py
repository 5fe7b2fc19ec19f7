"""A task bound to its contract: wire arguments become the call, what it returns becomes the wire value."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any

from penstock.errors import ContractError, DeclarationError
from penstock.queue import Task
from penstock.schema import annotations as hints
from penstock.schema.annotations import UnreadableError
from penstock.schema.compare import drift
from penstock.schema.decode import Decoders
from penstock.schema.derive import derive
from penstock.schema.encode import Encoders
from penstock.schema.library import Library
from penstock.schema.model import ABSENT, Contract, Ref
from penstock.wire.bulk import Bulk


class ContractBinding:
    """Calls of one task under its contract.

    Args:
        task: The task.
        contract: Its contract; the function fits it, which `bound` sees to.
    """

    def __init__(self, task: Task, contract: Contract) -> None:
        self.contract = contract
        try:
            parts = hints.signature(task.signature).parts if task.signature is not None else ()
        except UnreadableError:
            parts = ()
        annotations = {part.name: part.annotation for part in parts if part.annotation is not inspect.Parameter.empty}
        self._decode = Decoders(contract).object(contract.arguments, annotations, lambda made: made)
        self._encoders = Encoders(contract)
        #: Slots that are threads share the encoders, which count what they encode.
        self._encoding = threading.Lock()
        self._encode = self._encoders.of(Ref(name=contract.result))
        self._encode_item = None if contract.items is None else self._encoders.of(Ref(name=contract.items))
        #: A batch gets all of them by name.
        self._positional = contract.positional if task.batch is None else ()

    def bind(self, args: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the call, checked and of the types that the function expects.

        Raises:
            Misfit: They do not fit.
        """
        made: dict[str, Any] = self._decode(args)
        positional = [made.pop(name) for name in self._positional if name in made]
        return positional, made

    def result(self, value: Any, level: int, nodes: int) -> tuple[Any, Bulk]:
        """The wire value of a result, and the large bins for which something else stands in it.

        Args:
            value: What the task returned.
            level: Level of nesting of the result itself.
            nodes: Values that are before it in the body, itself included.

        Raises:
            Misfit: It does not fit. Whatever reading the value raises is passed on.
        """
        with self._encoding:
            self._encoders.begin(nodes)
            return self._encode(value, level), self._encoders.bulk

    def item(self, value: Any, level: int, nodes: int) -> tuple[Any, Bulk]:
        """The wire value of an item, as `result` makes that of a result.

        Args:
            value: What the task has yielded; its contract has items.
            level: Level of nesting of the item itself.
            nodes: Values that are before it in the body, itself included.

        Raises:
            Misfit: It does not fit. Whatever reading the value raises is passed on.
        """
        assert self._encode_item is not None
        with self._encoding:
            self._encoders.begin(nodes)
            return self._encode_item(value, level), self._encoders.bulk


def bound(task: Task, library: Library) -> ContractBinding | None:
    """The binding of a task to its contract; None: it has none.

    Raises:
        ContractError: The file is no contract, or the function does not fit it.
        DeclarationError: The task wants its contract to be there, and it is not.
    """
    spec = task.spec
    contract = library.find(spec.name, spec.version)
    if contract is None:
        if task.contract is not None:
            path = library.path(spec.name, spec.version)
            text = f"{spec.name}: its contract is not at {path}; write it with penstock contract export"
            raise DeclarationError(text)
        return None
    if problems := misfits(task, contract):
        lines = "\n".join(f"  {line}" for line in (*problems, f"What to do: {remedy(contract)}."))
        path = library.path(spec.name, spec.version)
        raise ContractError(f"{spec.name}: the code has drifted from its contract {path}:\n{lines}")
    return ContractBinding(task, contract)


def misfits(task: Task, contract: Contract) -> list[str]:
    """Where a task says something else than its contract; a sentence each.

    A contract that was written by hand, for a `callable` without annotations, is held against the names alone; that
    of a batch without a prototype cannot be held against anything but the error codes.

    Raises:
        ContractError: The signature says what no contract can.
    """
    if task.signature is None:
        return [*_items(task, contract), *_codes(task, contract)]
    if contract.callable is None:
        derived = derive(task.signature, name=contract.name, version=contract.version, raises=task.raises)
        return drift(derived, contract)
    return [*_names(task, contract), *_items(task, contract), *_codes(task, contract)]


def remedy(contract: Contract) -> str:
    """What to do about the misfits of a task, in words."""
    if contract.callable is not None:
        return "the contract is written by hand: change it or the code until the two agree"
    return (
        "put the code back, or write what it says with penstock contract export, and see with "
        "penstock contract check --against REVISION whom that breaks"
    )


def _names(task: Task, contract: Contract) -> list[str]:
    """Where a call by the contract would not fit the parameters."""
    takes, requires = set(task.spec.takes or ()), set(task.spec.requires)
    found = []
    for of in contract.arguments.properties:
        if of.name not in takes:
            known = ", ".join(sorted(takes)) or "nothing"
            found.append(f"{of.name}: the contract has it, the callable has not (it takes {known})")
        elif of.name in requires and not of.required and of.default is ABSENT:
            found.append(f"{of.name}: the callable requires it, in the contract it is optional without a default")
        requires.discard(of.name)
    return [*found, *(f"{name}: the callable requires it, the contract has it not" for name in sorted(requires))]


def _items(task: Task, contract: Contract) -> list[str]:
    """Where one side yields and the other does not; what is yielded shows when it is."""
    match task.spec.streams, contract.items is not None:
        case True, False:
            return ["the items: the function yields, the contract has no x-task.items"]
        case False, True:
            return ["the items: the contract has x-task.items, and calling the function gives a result; let it yield"]
    return []


def _codes(task: Task, contract: Contract) -> list[str]:
    differ = sorted(contract.errors.keys() ^ task.raises.keys())
    return [
        f"the errors: {code} is only in {'the contract' if code in contract.errors else 'the code'}" for code in differ
    ]
