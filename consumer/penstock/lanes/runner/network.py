"""No network: the kernel refuses sockets to this process and to all that it starts, for good.

It is a seccomp filter, because that needs no privilege, also in a container: a new network namespace would need root or
a user namespace, which containers mostly forbid. The filter is a program of the old packet filter machine; it sees the
number of the system call and its first argument, the socket's family.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from penstock.errors import DeclarationError

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
#: Operations of a filter: load a word, jump if equal, jump if not below, return.
_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_FROM: Final = 0x35
_RETURN: Final = 0x06
#: What a filter returns: the call goes on, or fails with an errno.
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
#: Where in `struct seccomp_data` the number, the architecture and the (little-endian) first argument are.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FAMILY: Final = 16


class _Machine(NamedTuple):
    """What the filter has to know of a processor."""

    architecture: int
    socket: int
    #: From here on system calls are of another kind (x32), which would slip through.
    first_foreign: int


_MACHINES: Final[Mapping[str, _Machine]] = {
    "x86_64": _Machine(0xC000003E, 41, 0x40000000),
    "aarch64": _Machine(0xC00000B7, 198, 0x40000000),
}
#: io_uring opens sockets past the filter; the number is the same on every machine.
_IO_URING_SETUP: Final = 425


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def leave_network() -> None:
    """Have the kernel refuse every socket that is not of AF_UNIX.

    Raises:
        DeclarationError: This system cannot, and why.
    """
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or struct.calcsize("P") != 8:
        raise DeclarationError(
            f"network=False needs Linux on x86-64 or arm64, not {sys.platform} on {platform.machine()}"
        )
    _install(_program(machine))
    _prove()


def _program(machine: _Machine) -> bytes:
    """The filter; a jump skips so many operations if it holds, and so many if not."""
    denied, unknown = _FAIL | errno.EACCES, _FAIL | errno.ENOSYS
    operations = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        # A 32-bit program has numbers of its own.
        (_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, unknown),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_FROM, 0, 1, machine.first_foreign),
        (_RETURN, 0, 0, unknown),
        (_IF_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, unknown),
        (_IF_EQUAL, 1, 0, machine.socket),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FAMILY),
        (_IF_EQUAL, 0, 1, int(socket.AF_UNIX)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, denied),
    ]
    return b"".join(struct.pack("HBBI", *operation) for operation in operations)


def _install(filter_: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filter_, len(filter_))
    program = _Program(len(filter_) // 8, ctypes.addressof(code))
    # Without the first the second is for root alone: a setuid program could be led astray by a filter.
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        reason = errno.errorcode.get(ctypes.get_errno(), "?")
        raise DeclarationError(f"network=False needs seccomp filters, which this system refuses ({reason})")


def _prove() -> None:
    """A filter that the system takes and does not heed would be worse than none."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except PermissionError:
        return
    raise DeclarationError("network=False: this system took the seccomp filter and does not heed it")
