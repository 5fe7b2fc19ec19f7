"""Blobs: which bytes headers name, and where they lie."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from penstock.wire.blob import Blob
from tests.unit.builders import JOB_ID

SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc: FIPS 180-2, appendix B.1


def test_a_blob_is_named_by_its_hash_and_its_size() -> None:
    blob = Blob.of(b"abc")
    assert blob == Blob(SHA256, 3)
    assert blob.headers() == {"x-blob": SHA256, "x-blob-size": 3}
    assert Blob.named_by({**blob.headers(), "x-other": 1}) == blob


def test_whatever_bytes_lie_in_they_are_the_same_blob() -> None:
    body = hashlib.sha256(b"seed").digest() * 4
    assert Blob.of(body) == Blob.of(bytearray(body)) == Blob.of(memoryview(body))


def test_headers_without_a_blob_name_none() -> None:
    assert Blob.named_by({}) is None
    assert Blob.named_by({"x-blob-size": 3}) is None
    assert Blob.named_by({"x-blob": 3}) is None


@pytest.mark.parametrize("sha256", ["", "abc", SHA256.upper(), SHA256 + "0", SHA256[:-1] + "\n", "*" * 64])
def test_what_is_no_hash_is_a_blob_that_cannot_be(sha256: str) -> None:
    assert Blob.named_by({"x-blob": sha256, "x-blob-size": 3}) == Blob("", -1)


@pytest.mark.parametrize("size", [None, "3", 0, -1, True, 3.0])
def test_without_a_proper_size_a_blob_cannot_be(size: Any) -> None:
    assert Blob.named_by({"x-blob": SHA256, "x-blob-size": size}) == Blob("", -1)


def test_a_blob_lies_under_its_job() -> None:
    assert Blob(SHA256, 3).key("shop", JOB_ID) == f"shop:blob:{{{JOB_ID}}}:{SHA256}"
