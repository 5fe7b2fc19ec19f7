"""No network: the filter by itself, on every machine that it knows, and in real children."""

from __future__ import annotations

import errno
import platform
import socket
import struct
import sys

import pytest

from penstock import Confine
from penstock.errors import DeclarationError
from penstock.lanes.runner import network
from tests.unit.lanes.observed import child_says

INTEL, ARM = "x86_64", "aarch64"
ALLOWED = 0x7FFF0000
DENIED, UNKNOWN = 0x00050000 | errno.EACCES, 0x00050000 | errno.ENOSYS
#: AUDIT_ARCH_I386 and AUDIT_ARCH_ARM: 32-bit programs.
FOREIGN = {INTEL: 0x40000003, ARM: 0x40000028}


def verdict(machine: str, number: int, family: int = 0, *, architecture: int | None = None) -> int:
    """What the filter returns for a system call, by the rules of the packet filter machine."""
    known = network._MACHINES[machine]
    program = list(struct.iter_unpack("HBBI", network._program(known)))
    data = struct.pack("<iIQQ", number, known.architecture if architecture is None else architecture, 0, family)
    at, word = 0, 0
    while True:
        code, holds, fails, operand = program[at]
        at += 1
        if code == network._RETURN:
            return int(operand)
        if code == network._LOAD:
            (word,) = struct.unpack_from("<I", data, operand)
        else:
            held = word == operand if code == network._IF_EQUAL else word >= operand
            at += holds if held else fails


@pytest.mark.parametrize("machine", [INTEL, ARM])
def test_only_sockets_of_the_machine_itself_are_made(machine: str) -> None:
    call = network._MACHINES[machine].socket
    assert verdict(machine, call, socket.AF_UNIX) == ALLOWED
    # AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK
    for family in (2, 10, 16, 17, 40):
        assert verdict(machine, call, family) == DENIED
    # The kernel looks at 32 bits of the family, and so does the filter.
    assert verdict(machine, call, 1 << 32 | 2) == DENIED


@pytest.mark.parametrize("machine", [INTEL, ARM])
def test_nothing_else_is_refused_but_what_would_slip_past(machine: str) -> None:
    assert {verdict(machine, number) for number in (0, 1, 42, 56, 57, 199, 435)} == {ALLOWED}
    assert verdict(machine, 425) == UNKNOWN
    assert verdict(machine, 0x40000000 | 41, socket.AF_INET) == UNKNOWN
    assert verdict(machine, 102, architecture=FOREIGN[machine]) == UNKNOWN


@pytest.mark.parametrize("name", ["riscv64", "i686"])
def test_a_machine_that_the_filter_does_not_know_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: name)
    with pytest.raises(DeclarationError, match=f"network=False needs Linux on x86-64 or arm64, not .* on {name}"):
        network.leave_network()


def test_a_filter_that_the_system_does_not_heed_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has no filter, so the proof fails here."""
    monkeypatch.setattr(network, "_install", lambda _: None)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DeclarationError, match="took the seccomp filter and does not heed it"):
        network.leave_network()


_TRY = """
import asyncio, errno, socket, subprocess, threading
def attempt(family):
    try:
        socket.socket(family).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return 'made'
"""

#: What a child finds: by family, in a thread, in a program that it starts, and in an event loop.
_FINDS = f"""(lambda known: (
    exec({_TRY!r}, known),
    known['attempt'](2), known['attempt'](10), known['attempt'](16), known['attempt'](1),
    __import__('concurrent.futures').futures.ThreadPoolExecutor(1).submit(known['attempt'], 2).result(),
    known['subprocess'].check_output([sys.executable, '-c', {_TRY!r} + 'print(attempt(2))'], text=True).strip(),
    known['asyncio'].run(known['asyncio'].sleep(0, 'slept')),
)[1:])(dict())"""


@pytest.mark.skipif(sys.platform != "linux", reason="on Linux only")
@pytest.mark.usefixtures("lane_tasks")
def test_a_child_without_a_network_finds_none_nor_does_what_it_starts() -> None:
    assert child_says(Confine(network=False), _FINDS) == (
        *("EACCES", "EACCES", "EACCES", "made"),
        *("EACCES", "EACCES", "slept"),
    )


@pytest.mark.usefixtures("lane_tasks")
def test_a_child_has_a_network_unless_it_is_said_otherwise() -> None:
    assert child_says(Confine(), _FINDS)[0] == "made"
