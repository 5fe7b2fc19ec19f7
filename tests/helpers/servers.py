"""Where RabbitMQ and Redis are, and what to do when they are not."""

from __future__ import annotations

import os

import pytest


def need(variable: str) -> str:
    """The URL in an environment variable; without it a test skips on a laptop and fails in CI."""
    value = os.environ.get(variable)
    if value:
        return value
    text = f"{variable} is not set; run: make integration"
    if os.environ.get("PENSTOCK_CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
