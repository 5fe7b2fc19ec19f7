"""Python's verdict on each document; producer_go/internal/contract has the same test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ContractError
from penstock.schema.reader import read

CASES = json.loads(Path(__file__).with_name("expected.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_document_is_a_contract_or_is_not(case: dict[str, Any]) -> None:
    try:
        read(json.dumps(case["document"]), "it")
    except ContractError:
        assert not case["ok"]
    else:
        assert case["ok"]
