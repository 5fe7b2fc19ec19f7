"""The same tasks later: with every change that contracts/DIALECT.md allows, and a second version beside the first."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Literal

from penstock import Limits, Processes, Queue

pantry = Queue("pantry", lane=Processes(1))


class Heat(enum.StrEnum):
    """How hot the stove is."""

    LOW = "low"
    MEDIUM = "medium"
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
class Wok:
    """Both."""

    cm: int
    kind: Literal["wok"] = "wok"


@dataclass(frozen=True)
class Plate:
    """For most."""

    rim: bool
    kind: Literal["plate"] = "plate"


@dataclass(frozen=True)
class Bowl:
    """For soups."""

    kind: Literal["bowl"] = "bowl"


Taste = Annotated[Literal["mild", "hot", "sour"], Limits(open_enum=True)]


@dataclass(frozen=True)
class Dish:
    """What was served."""

    name: Annotated[str, Limits(max_length=100)]
    grams: Annotated[int, Limits(ge=0)]
    taste: Taste
    form: Literal["solid", "liquid"]
    served: Plate | Bowl
    note: str
    garnish: str
    kcal: int
    wine: str | None = None


class BurntError(Exception):
    """It was left on the stove."""


class TooSaltyError(Exception):
    """Nobody can eat it."""


@pantry.task(raises={"BURNT": BurntError, "TOO_SALTY": TooSaltyError})
def cook(
    grams: Annotated[int, Limits(ge=0)],
    heat: Heat,
    vessel: Pot | Pan | Wok,
    lid: bool | None,
    name: str | None = None,
    salt: float = 1,
    spice: str | None = None,
) -> str:
    """Cook it, well."""
    if heat is Heat.HIGH and not lid:
        raise BurntError("nobody looked after it")
    if salt > 10:
        raise TooSaltyError("it was meant well")
    return f"{name or 'it'}: {grams:g} g in a {vessel.kind}, salt {salt:g}, spice {spice}"


@pantry.task
def serve(name: str) -> Dish:
    """Serve it."""
    return Dish(name, 2, "sour", "solid", Plate(rim=True), "hot!", garnish="dill", kcal=7, wine="Riesling")


@pantry.task
def season(pinches: Annotated[float, Limits(ge=0, nonfinite=True)]) -> float:
    """Add so much salt; says how much it is, in grams."""
    return min(pinches, 10.0) * 0.5


@pantry.task
def weigh(item: str) -> float:
    """Say how heavy it is, in grams."""
    return float(len(item))


@pantry.task(name="weigh", version=2)
def weigh_in(thing: str, unit: Literal["g", "oz"]) -> float:
    """Say how heavy it is, in a unit."""
    return len(thing) / (1 if unit == "g" else 28)
