"""Pictures with Pillow."""

from __future__ import annotations

import enum
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import sklearn.datasets
from PIL import Image, ImageDraw, UnidentifiedImageError

from penstock import Limits, Processes, Queue

pictures = Queue("pictures", lane=Processes(2))

Side = Annotated[int, Limits(ge=1, le=4000)]


class Format(enum.StrEnum):
    """How a picture is written."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


@dataclass(frozen=True)
class Picture:
    """A picture as a file.

    Attributes:
        data: The file's bytes.
        width: In pixels.
        height: In pixels.
    """

    data: bytes
    width: int
    height: int


@pictures.task(raises={"NOT_AN_IMAGE": UnidentifiedImageError}, contract="pictures.thumbnail")
def thumbnail(data: Annotated[bytes, Limits(min_length=1)], side: Side, format: Format = Format.JPEG) -> Picture:  # noqa: A002
    """Make a picture small.

    Args:
        data: A picture in any format that Pillow reads.
        side: The longest side of the small one, in pixels.
        format: How it is written.
    """
    with Image.open(io.BytesIO(data)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
    return _written(small, format)


@pictures.task(contract="pictures.photo")
def photo(name: Literal["china", "flower"]) -> bytes:
    """Give one of the two photographs that scikit-learn brings along, as JPEG."""
    return (Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg").read_bytes()


@dataclass(frozen=True)
class Circle:
    """A filled circle."""

    x: float
    y: float
    radius: Annotated[float, Limits(gt=0)]
    color: str
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: Annotated[float, Limits(gt=0)]
    height: Annotated[float, Limits(gt=0)]
    color: str
    kind: Literal["box"] = "box"


@pictures.task(contract="pictures.draw")
def draw(width: Side, height: Side, shapes: Annotated[list[Circle | Box], Limits(max_length=1000)]) -> Picture:
    """Draw shapes on white, one over the other, and give them as PNG.

    Args:
        width: In pixels.
        height: In pixels.
        shapes: What to draw, the lowest first.
    """
    canvas = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(canvas)
    for shape in shapes:
        if isinstance(shape, Circle):
            pen.circle((shape.x, shape.y), shape.radius, fill=shape.color)
        else:
            pen.rectangle((shape.x, shape.y, shape.x + shape.width, shape.y + shape.height), fill=shape.color)
    return _written(canvas, Format.PNG)


def _written(picture: Image.Image, how: Format) -> Picture:
    file = io.BytesIO()
    picture.save(file, how.upper())
    return Picture(file.getvalue(), picture.width, picture.height)
