"""Functions of the C library that Python has no name for.

Called through ctypes, in the library that this process has loaded already. A small package for
inotify, inotify-simple, starts a program (``ldconfig``) to find it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library; raise OSError where it fails."""
    function: Callable[..., int] | None = getattr(_library(), name, None)
    if function is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        number = errno.ENOTSUP if number == errno.ENOSYS else number
        raise OSError(number, os.strerror(number))
    return result
