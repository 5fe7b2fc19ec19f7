"""Annotations taken apart: what a hint says, without saying what it means on the wire."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from penstock.domain.limits import Limits
from penstock.schema.docs import described

_NONE: Final = type(None)
#: Attributes by which limits are told: those of Limits, and of annotated_types and msgspec as far as they have them.
_BOUNDS: Final = tuple(each.name for each in dataclasses.fields(Limits))


def stripped(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """The annotation without `Annotated`, `Required`, `NotRequired` and `NewType`, and the limits in it, by name."""
    limits: dict[str, Any] = {}
    while True:
        origin = typing.get_origin(annotation)
        if origin is Annotated:
            for note in annotation.__metadata__:
                limits.update(_limits(note))
            annotation = annotation.__origin__
        elif origin in (typing.Required, typing.NotRequired):
            (annotation,) = typing.get_args(annotation)
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation, limits


def _limits(note: Any) -> dict[str, Any]:
    """What one note of an Annotated says; a note that is not about limits says nothing."""
    if isinstance(note, str | bytes | type) or callable(note):
        return {}
    found = {name: getattr(note, name, None) for name in _BOUNDS}
    return {name: value for name, value in found.items() if value is not None and value is not False}


def optional(annotation: Any) -> Any | None:
    """What `T | None` is besides None: T, a union if there are several; None when it is no such thing."""
    members = union_members(annotation)
    rest = tuple(member for member in members if member is not _NONE)
    if len(rest) == len(members) or not rest:
        return None
    return rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007 -- made of a tuple


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else, itself alone."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def name(annotation: Any) -> str:
    """What a person calls it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def literals(annotation: Any) -> tuple[Any, ...] | None:
    """The values of a Literal; None when it is none."""
    return typing.get_args(annotation) if typing.get_origin(annotation) is Literal else None


def is_enum(annotation: Any) -> bool:
    """Whether it is an Enum class."""
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def is_dataclass(annotation: Any) -> bool:
    """Whether it is a dataclass, not an instance of one."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def is_typed_dict(annotation: Any) -> bool:
    """Whether it is a TypedDict class."""
    return typing.is_typeddict(annotation)


def dtype(annotation: Any) -> str | None:
    """The element type of an `NDArray[T]`, `"float64"`; `""` when it names none; None: it is no numpy array."""
    origin = typing.get_origin(annotation) or annotation
    if getattr(origin, "__module__", "").partition(".")[0] != "numpy" or getattr(origin, "__name__", "") != "ndarray":
        return None
    arguments = typing.get_args(annotation)
    inner = typing.get_args(arguments[1]) if len(arguments) > 1 else ()
    scalar = inner[0] if inner else None
    if not isinstance(scalar, type) or not hasattr(scalar, "dtype"):
        return ""
    import numpy as np  # there already: the annotation is its

    try:
        return str(np.dtype(scalar))
    except TypeError:
        return ""


def scalar(annotation: Any) -> str | None:
    """The type of Python that a scalar type of numpy corresponds to, `"float"` for `np.float64`; None: to none."""
    if not isinstance(annotation, type) or annotation.__module__ != "numpy":
        return None
    bases = {base.__name__ for base in annotation.__mro__}
    for numpys, plain in (("bool", "bool"), ("bool_", "bool"), ("integer", "int"), ("floating", "float")):
        if numpys in bases:
            return plain
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A parameter of a callable, or a field of a class.

    Attributes:
        name: Its name.
        annotation: Its hint; `inspect.Parameter.empty` when there is none.
        required: Whether it has to be given.
        default: Its default; `inspect.Parameter.empty` when there is none, or one that is made anew each time.
        factory: What makes the default anew; None: nothing does.
        positional: Whether it is given by position only.
        description: What its documentation says.
    """

    name: str
    annotation: Any
    required: bool
    default: Any = inspect.Parameter.empty
    factory: Callable[[], Any] | None = None
    positional: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a callable takes and gives.

    Attributes:
        parts: Its parameters, in order.
        variadic: Names of those like `*args` and `**kwargs`.
        returns: The hint of the result; `inspect.Parameter.empty` when there is none.
        description: What its documentation says of the whole.
    """

    parts: tuple[Part, ...]
    variadic: tuple[str, ...]
    returns: Any
    description: str = field(default="")


class UnreadableError(Exception):
    """The annotations cannot be read; the text says why and what to do."""


def signature(function: Callable[..., Any]) -> Signature:
    """The signature of a callable, with the hints resolved that are written as strings.

    Raises:
        UnreadableError: Python cannot tell its parameters, or a hint names what is not there.
    """
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        raise UnreadableError("Python cannot tell its parameters; wrap it in a function that names them") from None
    hints = _hints(function)
    text, descriptions = described(inspect.getdoc(function) or "")
    parts, variadic = [], []
    for parameter in found.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            variadic.append(("*" if parameter.kind is parameter.VAR_POSITIONAL else "**") + parameter.name)
            continue
        parts.append(
            Part(
                name=parameter.name,
                annotation=hints.get(parameter.name, parameter.empty),
                required=parameter.default is parameter.empty,
                default=parameter.default,
                positional=parameter.kind is parameter.POSITIONAL_ONLY,
                description=descriptions.get(parameter.name, ""),
            )
        )
    returns = hints.get("return", inspect.Parameter.empty)
    return Signature(parts=tuple(parts), variadic=tuple(variadic), returns=returns, description=text)


def fields(kind: type) -> tuple[str, tuple[Part, ...]]:
    """What the documentation of a dataclass or TypedDict says of it, and its fields.

    Raises:
        UnreadableError: As `signature`.
    """
    hints = _hints(kind)
    text, descriptions = described(_own_doc(kind))
    if is_typed_dict(kind):
        total: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
        return text, tuple(
            Part(
                name=name,
                annotation=hint,
                # Where annotations are strings the class itself could not see what they say.
                required={typing.Required: True, typing.NotRequired: False}.get(typing.get_origin(hint), name in total),
                description=descriptions.get(name, ""),
            )
            for name, hint in hints.items()
        )
    parts = []
    for each in dataclasses.fields(kind):
        if not each.init:
            continue
        has = each.default is not dataclasses.MISSING
        makes = each.default_factory is not dataclasses.MISSING
        parts.append(
            Part(
                name=each.name,
                annotation=hints[each.name],
                required=not has and not makes,
                default=each.default if has else inspect.Parameter.empty,
                factory=each.default_factory if makes else None,  # type: ignore[arg-type]
                description=descriptions.get(each.name, ""),
            )
        )
    return text, tuple(parts)


def _hints(of: Any) -> Mapping[str, Any]:
    """The annotations with their extras; functools.partial and bound methods have those of what they call."""
    plain = inspect.unwrap(of) if callable(of) else of
    while hasattr(plain, "func"):
        plain = plain.func
    if not isinstance(plain, type) and not hasattr(plain, "__annotations__"):
        plain = getattr(type(plain), "__call__", plain)  # noqa: B004 -- the method itself is wanted
    try:
        return typing.get_type_hints(plain, include_extras=True)
    except NameError as error:
        name = error.name or str(error)
        text = f"its annotations name {name}, which cannot be found (imported under TYPE_CHECKING only?); import it"
        raise UnreadableError(text) from None
    except (TypeError, AttributeError) as error:
        raise UnreadableError(f"its annotations cannot be read: {error}") from None


def _own_doc(kind: type) -> str:
    """The documentation that somebody wrote; that of a dataclass without any is its signature."""
    text = kind.__dict__.get("__doc__") or ""
    generated = dataclasses.is_dataclass(kind) and text.startswith(f"{kind.__name__}(")
    return "" if generated else inspect.cleandoc(text)
