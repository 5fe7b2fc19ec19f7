"""Where RabbitMQ and Redis are, and what to do when they are not."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def need(variable: str) -> str:
    """The URL in an environment variable; without it a test skips on a laptop and fails in CI."""
    return os.environ.get(variable) or missing(f"{variable} is not set; run: make integration")


def missing(what: str) -> NoReturn:
    """End a test that cannot run here: it skips on a laptop and fails in CI."""
    if os.environ.get("PENSTOCK_CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
