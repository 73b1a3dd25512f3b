"""Records of block writes made by hand, in the format of dm-log-writes."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from provisioning.emulator.blocklog import Kind

Request = tuple[Kind, int, bytes]
"""Kind, first sector, data (for a discard: as many bytes as are discarded)."""


def record(asked: list[Request], sector: int = 512) -> bytes:
    log = struct.pack("<QQQI", 0x6A736677736872, 1, len(asked), sector).ljust(sector, b"\0")
    for kind, first, data in asked:
        sectors = -(-len(data) // sector)
        log += struct.pack("<QQQQ", first, sectors, kind.value, 0).ljust(sector, b"\0")
        if Kind.DISCARD not in kind:
            log += data.ljust(sectors * sector, b"\0")
    return log


def requests(sectors: int = 16) -> st.SearchStrategy[Request]:
    """Writes, flushes, writes with FUA and discards on a disk of so many sectors of 512 bytes."""
    first = st.integers(0, sectors - 4)
    data = st.integers(1, 255).flatmap(lambda byte: st.integers(1, 4).map(lambda n: bytes([byte]) * 512 * n))
    return st.one_of(
        st.tuples(st.just(Kind.WRITE), first, data),
        st.tuples(st.just(Kind.WRITE), first, data),
        st.tuples(st.just(Kind.FUA), first, data),
        st.tuples(st.just(Kind.FLUSH), st.just(0), st.just(b"")),
        st.tuples(st.just(Kind.DISCARD), first, data),
    )
