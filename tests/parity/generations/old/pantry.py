"""The tasks of a worker as they were first released; callers were built from their contracts."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Literal

from penstock import Limits, Processes, Queue

pantry = Queue("pantry", lane=Processes(1))


class Heat(enum.StrEnum):
    """How hot the stove is."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Pot:
    """Deep."""

    litres: int
    kind: Literal["pot"] = "pot"


@dataclass(frozen=True)
class Pan:
    """Wide."""

    cm: int
    kind: Literal["pan"] = "pan"


@dataclass(frozen=True)
class Plate:
    """For most."""

    kind: Literal["plate"] = "plate"


@dataclass(frozen=True)
class Bowl:
    """For soups."""

    kind: Literal["bowl"] = "bowl"


@dataclass(frozen=True)
class Cup:
    """For drinks."""

    kind: Literal["cup"] = "cup"


Taste = Annotated[Literal["mild", "hot"], Limits(open_enum=True)]


@dataclass(frozen=True)
class Dish:
    """What was served."""

    name: str
    grams: float
    taste: Taste
    form: Literal["solid", "liquid", "foam"]
    served: Plate | Bowl | Cup
    note: str | None
    garnish: str | None = None


class BurntError(Exception):
    """It was left on the stove."""


@pantry.task(raises={"BURNT": BurntError})
def cook(
    name: str, grams: Annotated[int, Limits(ge=1, le=1000)], heat: Heat, vessel: Pot | Pan, lid: bool, salt: float = 1
) -> str:
    """Cook it."""
    if heat is Heat.HIGH and not lid:
        raise BurntError("nobody looked after it")
    return f"{name}: {grams:g} g in a {vessel.kind}, salt {salt:g}"


@pantry.task
def serve(name: str) -> Dish:
    """Serve it."""
    return Dish(name, 2.5, "mild", "foam", Cup(), note=None)


@pantry.task
def season(pinches: Annotated[int, Limits(ge=0)]) -> float:
    """Add so much salt; says how much it is, in grams."""
    return pinches * 0.5


@pantry.task
def weigh(item: str) -> float:
    """Say how heavy it is, in grams."""
    return float(len(item))
