"""Keep the memory of a step for the next step.

Every training step allocates the same maps of tens of megabytes. GNU's allocator gives such blocks back to the system
at once, and the next step pays for fresh pages: on a virtual machine that is up to a third of a step's time.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# Of malloc.h: how much free memory at the end of the heap to keep, and how many blocks to take outside of the heap.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEEP = 2**31 - 1
_HUGE_PAGES = 14  # MADV_HUGEPAGE of sys/mman.h
_RESERVED = 4 << 30


@cache
def keep_memory() -> bool:
    """Let freed memory stay with this process, in huge pages where the system has them; False where that is unknown.

    Nothing is taken by this: pages come with their first use.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not (libc.mallopt(_TRIM_THRESHOLD, _KEEP) and libc.mallopt(_MMAP_MAX, 0)):
        return False
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # The heap's coming room, in one piece: it grows there, and advice holds for addresses.
    if block := libc.malloc(_RESERVED):
        start = -(-block // 4096) * 4096
        libc.madvise(start, _RESERVED - 4096, _HUGE_PAGES)
        libc.free(block)
    return True
