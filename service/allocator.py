"""Memory that was used for a large body goes back to the system once it is done with.

glibc takes large pieces from the system one by one, until the first is freed: from then on it keeps
such pieces, in a heap that smaller ones leave full of holes. A service that was sent a few hundred
megabytes once would stay that large. Source: mallopt(3), M_MMAP_THRESHOLD.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Above what a run of small steps works on, below a large body.
_LARGE_BYTES = 4 << 20


def return_large_pieces() -> None:
    """Set it so; nothing where the C library is another one."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGE_BYTES)
        set_option(_TRIM_THRESHOLD, 2 * _LARGE_BYTES)
