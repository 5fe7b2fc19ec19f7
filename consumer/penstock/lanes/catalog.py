"""Asking a short-lived child what queues and tasks there are: the parent imports no user code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from penstock.domain.task import QueueSpec
from penstock.errors import CatalogError
from penstock.lanes.child import Child, describe_exit
from penstock.lanes.frames import Frame, Kind

#: Seconds that an import may take.
DESCRIBE_TIMEOUT_S: Final = 120.0


async def describe(targets: Sequence[str], contracts: str) -> list[QueueSpec]:
    """The queues at these targets (`MODULE:QUEUE`), whose tasks fit their contracts in the directory `contracts`.

    Raises:
        CatalogError: A module cannot be imported or declares something wrong; the text says what and what to do.
    """
    frames: list[Frame] = []
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    child = Child(
        ["describe", contracts, *targets],
        python=None,
        on_frames=frames.extend,
        on_exit=lambda status, _: ended.set_result(status),
    )
    child.start()
    try:
        status = await asyncio.wait_for(asyncio.shield(ended), DESCRIBE_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await ended
        raise CatalogError(f"importing {', '.join(targets)} took longer than {DESCRIBE_TIMEOUT_S:g} s") from None
    except asyncio.CancelledError:
        child.kill()
        raise
    names = ", ".join(targets)
    if not frames:
        raise CatalogError(
            f"importing {names} ended the interpreter ({describe_exit(status)}); try: python -c 'import ...'"
        )
    frame = frames[0]
    if frame.kind == Kind.FAILED:
        said, of_contract = frame.meta
        if of_contract:
            raise CatalogError(said)
        raise CatalogError(
            f"{said}\n\ncannot import {names}: mend the error above, or start the worker in the "
            "directory (and the virtual environment) in which the import works"
        )
    return _checked([QueueSpec.from_wire(wire) for wire in frame.meta[0]])


def _checked(specs: list[QueueSpec]) -> list[QueueSpec]:
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise CatalogError(f"two of the queues have one name: {', '.join(names)}")
    return specs
