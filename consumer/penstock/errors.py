"""Every error that penstock raises to its users.

PenstockError
├── UsageError           a command line, URL or option is wrong
├── DataError            what a command reads, or finds, is not what it needs
├── DeclarationError     a Queue, task or Retry is declared wrongly (raised at import)
├── ContractError        a contract is none, or does not fit the function that it is for
├── CatalogError         the task module cannot be imported or described
├── TopologyError        exchanges or queues are missing or different
├── UnavailableError     RabbitMQ or Redis cannot be reached
├── DeniedError          RabbitMQ or Redis refuses the user
└── WorkerError          the worker cannot go on

The text is for people: what happened and what to do. `exit` is the status with which a command ends.
"""

from __future__ import annotations

from typing import ClassVar

from penstock.wire.registry import Exit


class PenstockError(Exception):
    """Something went wrong in penstock."""

    exit: ClassVar[Exit] = Exit.SOFTWARE


class UsageError(PenstockError):
    """The command line, a URL or an option is wrong."""

    exit = Exit.USAGE


class DataError(PenstockError):
    """What a command reads, or finds, is not what it needs."""

    exit = Exit.DATA


class DeclarationError(PenstockError):
    """A queue, a task or a policy is declared wrongly."""

    exit = Exit.CONFIG


class ContractError(PenstockError):
    """A contract breaks the rules of its dialect, or a function does not fit it."""

    exit = Exit.CONFIG


class CatalogError(PenstockError):
    """The task module cannot be imported or described."""

    exit = Exit.CONFIG


class TopologyError(PenstockError):
    """Exchanges or queues are missing or differ from the registry."""

    exit = Exit.CONFIG


class UnavailableError(PenstockError):
    """RabbitMQ or Redis cannot be reached."""

    exit = Exit.UNAVAILABLE


class DeniedError(PenstockError):
    """RabbitMQ or Redis refuses the user or its permissions."""

    exit = Exit.NOPERM


class WorkerError(PenstockError):
    """The worker cannot go on."""

    exit = Exit.SOFTWARE
