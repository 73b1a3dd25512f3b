"""A bounded FlatBuffer reader: every offset is checked before it is followed.

The `flatbuffers` library trusts its input, so an altered file makes it read outside the buffer or loop over
four billion elements. Here a file that does not add up raises `MalformedFile`, and the work done is bounded
by the file's size. Layout: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["b", "B", "?", "h", "H", "i", "I", "q", "Q", "f", "d"]
"""A scalar's type, as `struct` names it."""


LONGEST_MESSAGE = 400


class MalformedFile(ValueError):
    """The file is truncated, altered, or not of the kind expected; one sentence says where."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "...")


class Allowance:
    """How many elements reading a file may still visit.

    Tables and strings can be shared, so a small altered file can describe a huge tree; a real file never
    describes more elements than it has bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = 4 * size + 1024

    def spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise MalformedFile("the file refers to the same bytes over and over: it is altered")


@dataclass(frozen=True)
class FlatBuffer:
    """The bytes of one FlatBuffer; one inside another shares its `allowance`.

    >>> FlatBuffer.of(b"TFL3").root("TFL3")
    Traceback (most recent call last):
        ...
    convert.edgetpu.compiled.flatbuffer.MalformedFile: the file ends at byte 4, but its header needs 8
    """

    data: memoryview
    allowance: Allowance

    @classmethod
    def of(cls, content: bytes) -> FlatBuffer:
        return cls(memoryview(content), Allowance(len(content)))

    def root(self, identifier: str | None) -> Table:
        """The root table; unless it is None, the four-letter `identifier` must stand at byte 4."""
        if len(self.data) < 8:
            raise MalformedFile(f"the file ends at byte {len(self.data)}, but its header needs 8")
        found = bytes(self.data[4:8])
        if identifier is not None and found != identifier.encode():
            raise MalformedFile(f"bytes 4 to 8 are {found!r}, not {identifier!r}")
        return Table(self, self.follow(0))

    def scalar(self, position: int, kind: Kind) -> int | float:
        size = struct.calcsize("<" + kind)
        if position < 0 or position + size > len(self.data):
            raise MalformedFile(f"a value at byte {position} lies outside the file of {len(self.data)} bytes")
        value: int | float = struct.unpack_from("<" + kind, self.data, position)[0]
        return value

    def integer(self, position: int, kind: Kind) -> int:
        return int(self.scalar(position, kind))

    def follow(self, position: int) -> int:
        """Where the unsigned 32-bit offset at `position` points."""
        offset = self.integer(position, "I")
        target = position + offset
        if offset < 4 or target + 4 > len(self.data):
            raise MalformedFile(f"the offset at byte {position} points to byte {target}, outside the file")
        return target

    def vector(self, position: int, width: int) -> tuple[int, int]:
        """First element's position and the count of the vector at `position`, `width` bytes an element."""
        count = self.integer(position, "I")
        if position + 4 + count * width > len(self.data):
            raise MalformedFile(f"the list at byte {position} claims {count} elements, more than the file holds")
        return position + 4, count


class Table:
    """One table: fields are named by their slot, the field's index in the schema."""

    def __init__(self, buffer: FlatBuffer, position: int) -> None:
        buffer.allowance.spend(1)
        self._buffer = buffer
        self._position = position
        self._vtable = position - buffer.integer(position, "i")
        self._vtable_size = buffer.integer(self._vtable, "H")
        self._size = buffer.integer(self._vtable + 2, "H")
        ends = max(self._vtable + self._vtable_size, position + self._size)
        if self._vtable_size < 4 or self._vtable_size % 2 or self._size < 4 or ends > len(buffer.data):
            raise MalformedFile(f"the table at byte {position} has an impossible layout")

    def _field(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return None
        offset = self._buffer.integer(self._vtable + entry, "H")
        if offset == 0:
            return None
        if offset < 4 or offset >= self._size:
            raise MalformedFile(f"the table at byte {self._position} keeps field {slot} outside itself")
        return self._position + offset

    def integer(self, slot: int, kind: Kind, default: int = 0) -> int:
        at = self._field(slot)
        return default if at is None else self._buffer.integer(at, kind)

    def number(self, slot: int, kind: Kind, default: float = 0.0) -> float:
        at = self._field(slot)
        return default if at is None else float(self._buffer.scalar(at, kind))

    def table(self, slot: int) -> Table | None:
        at = self._field(slot)
        return None if at is None else Table(self._buffer, self._buffer.follow(at))

    def tables(self, slot: int) -> Iterator[Table]:
        for at in self._elements(slot):
            yield Table(self._buffer, self._buffer.follow(at))

    def blobs(self, slot: int) -> Iterator[memoryview]:
        """A vector of strings used as byte containers."""
        for at in self._elements(slot):
            yield self._bytes_at(self._buffer.follow(at))

    def bytes(self, slot: int) -> memoryview | None:
        """A byte vector or a string's bytes, not copied."""
        at = self._field(slot)
        return None if at is None else self._bytes_at(self._buffer.follow(at))

    def text(self, slot: int) -> str:
        """A string; empty if absent. Names are for showing, so what cannot be printed is replaced."""
        at = self._field(slot)
        if at is None:
            return ""
        start = self._buffer.follow(at)
        raw = self._bytes_at(start)
        if self._buffer.integer(start + 4 + len(raw), "B") != 0:
            raise MalformedFile(f"the string at byte {start} does not end")
        self._buffer.allowance.spend(1 + len(raw))
        return "".join(c if c.isprintable() else "\ufffd" for c in str(raw, "utf-8", "replace"))

    def integers(self, slot: int, kind: Kind) -> tuple[int, ...]:
        return tuple(int(value) for value in self.numbers(slot, kind))

    def numbers(self, slot: int, kind: Kind) -> tuple[float, ...]:
        at = self._field(slot)
        if at is None:
            return ()
        first, count = self._buffer.vector(self._buffer.follow(at), struct.calcsize("<" + kind))
        self._buffer.allowance.spend(count)
        return struct.unpack_from(f"<{count}{kind}", self._buffer.data, first)

    def _elements(self, slot: int) -> Iterator[int]:
        at = self._field(slot)
        if at is None:
            return
        first, count = self._buffer.vector(self._buffer.follow(at), 4)
        self._buffer.allowance.spend(count)
        yield from range(first, first + 4 * count, 4)

    def _bytes_at(self, position: int) -> memoryview:
        first, count = self._buffer.vector(position, 1)
        return self._buffer.data[first : first + count]
