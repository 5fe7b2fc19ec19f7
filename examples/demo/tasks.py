"""The demo's tasks: what a Python developer writes. No broker, no bytes on a wire and no Go in sight.

penstock worker tasks:digits tasks:images tasks:stats
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from penstock import Processes, Queue, Retry, current_job

if TYPE_CHECKING:
    from sklearn.svm import SVC

digits = Queue("digits", lane=Processes(2))
images = Queue("images", lane=Processes(1))
stats = Queue("stats", lane=Processes(1))

PIXELS = 64

# ── a model, trained once per child ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and the number of images, from the first one on, that it has learnt from."""

    model: SVC
    images: int


@digits.startup
@cache
def trained() -> Trained:
    """Train on the first half of scikit-learn's handwritten digits: once per child, before its first job."""
    # Imported here, so that the children of the other queues need not load it.
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    pixels, labels = load_digits(return_X_y=True)
    half = len(pixels) // 2
    return Trained(SVC(gamma=0.001).fit(pixels[:half], labels[:half]), half)


@digits.task
def model() -> dict[str, str | int]:
    """Say what the model is, and from how many images it has learnt."""
    return {"name": str(trained().model), "trained_on": trained().images}


@digits.task(timeout=10)
def classify(images: bytes) -> list[int]:
    """Read handwritten digits: 64 bytes an image, 0 (white) to 16 (black), row by row."""
    pixels = np.frombuffer(images, dtype=np.uint8).reshape(-1, PIXELS)
    labels: list[int] = trained().model.predict(pixels).tolist()
    return labels


# ── bytes in, bytes out ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small JPEG image, and the size of the one that it was made of."""

    jpeg: bytes
    width: int
    height: int
    source_width: int
    source_height: int


@images.task(timeout=10)
def thumbnail(jpeg: bytes, longest: int = 128) -> Thumbnail:
    """Make a JPEG image smaller, to at most `longest` pixels a side."""
    with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
        source_width, source_height = image.size
        image.thumbnail((longest, longest))
        small = BytesIO()
        image.save(small, "JPEG", quality=85)
        return Thumbnail(small.getvalue(), *image.size, source_width, source_height)


# ── a library call without a wrapper, and two tasks that fail ───────────────────────────────────────

stats.expose("numpy.linalg:norm")

GOOD_ATTEMPT = 3


@stats.task(retry=Retry(attempts=5, base=1, jitter="none"))
def flaky() -> int:
    """Fail twice, then return the number of the attempt that went well."""
    attempt = current_job().attempt
    if attempt < GOOD_ATTEMPT:
        raise ConnectionError(f"the other side hung up on attempt {attempt}")
    return attempt


@stats.task(retry=Retry(attempts=2, base=1, jitter="none"))
def hopeless() -> None:
    """Fail until the attempts are used up."""
    raise ConnectionError("nobody is there")
