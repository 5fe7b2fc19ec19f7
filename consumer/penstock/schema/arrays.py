"""numpy's arrays and their form on the wire. numpy is imported when the first contract needs it."""

from __future__ import annotations

import math
from typing import Any, Final

from penstock.schema.checks import counted
from penstock.schema.misfit import Misfit, kind_of, step
from penstock.schema.model import DTYPES, NDArray

_KEYS: Final = ("dtype", "shape", "data")
_MAX_NDIM: Final = 32
_MAX_SIZE: Final = 2**48


def decode(type_: NDArray, value: Any) -> Any:
    """The array that a map of the wire says: a read-only view of its bytes, which are not copied.

    Raises:
        Misfit: It is none, or not of this type.
    """
    import numpy as np

    if type(value) is not dict:
        raise Misfit("type", "must be an array of numbers: a map of dtype, shape and data", kind_of(value))
    for key, part in value.items():
        if key not in _KEYS:
            raise _at(step(key), Misfit("unknown", "is not known", kind_of(part)))
    for key in _KEYS:
        if key not in value:
            raise _at(step(key), Misfit("missing", "is missing", "absent"))
    dtype, shape, data = (value[key] for key in _KEYS)
    if dtype != type_.dtype:
        rule = "dtype" if type(dtype) is str else "type"
        raise _at(".dtype", Misfit(rule, f"must be {type_.dtype}", kind_of(dtype)))
    size = _size(shape)
    if type(data) is not bytes:
        raise _at(".data", Misfit("type", "must be bytes", kind_of(data)))
    if len(data) != size * DTYPES[type_.dtype]:
        raise _at(".data", Misfit("shape", f"must have {size * DTYPES[type_.dtype]} bytes", "bin"))
    if type_.ndim is not None and len(shape) != type_.ndim:
        raise _at(".shape", Misfit("shape", f"must have {type_.ndim} dimensions", "array"))
    counted(size, type_.min_items, type_.max_items, unit="elements", rules="Items", kind="map")
    array = np.frombuffer(data, dtype=_wire_dtype(type_)).reshape(shape)
    _check_finite(type_, array)
    return array


def _size(shape: Any) -> int:
    """How many elements a shape has; the shape is checked."""
    if type(shape) is not list:
        raise _at(".shape", Misfit("type", "must be an array of sizes", kind_of(shape)))
    if len(shape) > _MAX_NDIM:
        raise _at(".shape", Misfit("shape", f"must have at most {_MAX_NDIM} sizes", "array"))
    for index, size in enumerate(shape):
        if type(size) is not int:
            raise _at(".shape", _at(f"[{index}]", Misfit("type", "must be an int", kind_of(size))))
        if size < 0:
            raise _at(".shape", _at(f"[{index}]", Misfit("shape", "must be an int from 0", "int")))
    size = math.prod(shape)
    if size > _MAX_SIZE or math.prod(max(1, each) for each in shape) > _MAX_SIZE:
        raise _at(".data", Misfit("shape", "has not as many elements as the shape says", "bin"))
    return size


def encode(type_: NDArray, value: Any) -> dict[str, Any]:
    """The map that an array is on the wire; its data are not copied when they lie there as they travel.

    Raises:
        Misfit: It is not an array of this type, nor one that becomes it without loss.
    """
    import numpy as np

    wanted = np.dtype(_wire_dtype(type_))
    try:
        array = np.asarray(value)
    except ValueError:
        raise Misfit("type", "must be an array of numbers", kind_of(value)) from None
    if array.size == 0 and not hasattr(value, "dtype"):
        array = array.astype(wanted)  # an empty list says nothing of its elements
    if array.dtype.kind not in "iuf" or not np.can_cast(array.dtype, wanted, "safe"):
        raise Misfit("dtype", f"must be an array of {type_.dtype}, or of what fits it", f"array of {array.dtype}")
    array = np.ascontiguousarray(array, dtype=wanted).reshape(array.shape)
    if type_.ndim is not None and array.ndim != type_.ndim:
        raise Misfit("shape", f"must have {type_.ndim} dimensions", "array")
    counted(array.size, type_.min_items, type_.max_items, unit="elements", rules="Items", kind="array")
    _check_finite(type_, array)
    data = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    return {"dtype": type_.dtype, "shape": list(array.shape), "data": data}


def _check_finite(type_: NDArray, array: Any) -> None:
    if type_.nonfinite or array.dtype.kind != "f":
        return
    import numpy as np

    if not np.isfinite(array).all():
        raise Misfit("finite", "must have finite elements only", "map")


def _wire_dtype(type_: NDArray) -> str:
    """The element type in the words of numpy, little-endian: `<f8`."""
    return f"<{type_.dtype[0]}{DTYPES[type_.dtype]}"


def _at(steps: str, misfit: Misfit) -> Misfit:
    misfit.steps.append(steps)
    return misfit
