"""A child leaves its last Python stack to its parent, in a file that it inherited."""

from __future__ import annotations

import faulthandler
import os
import signal


def leave_last_stack(fd: int) -> None:
    """Have the stacks of all threads written to `fd` on a fatal signal, and when the parent asks by SIGUSR2.

    faulthandler writes from within the signal handler, so this works in C code that holds the GIL, too. Until now the
    parent has had SIGUSR2 blocked here.
    """
    # What user code starts shall not hold the file.
    os.set_inheritable(fd, False)
    faulthandler.enable(file=fd, all_threads=True)
    faulthandler.register(signal.SIGUSR2, file=fd, all_threads=True, chain=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
