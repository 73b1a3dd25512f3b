"""Reads the one FlexBuffer map that an Edge TPU custom operator carries, checking every offset.

Layout: https://flatbuffers.dev/flexbuffers/ . Values are read from the end of the buffer backwards; only the
types that libedgetpu writes are read (integers, strings, vectors), anything else is a malformed file.
"""

from __future__ import annotations

from convert.edgetpu.compiled.flatbuffer import Allowance, MalformedFile

Value = int | memoryview | tuple["Value", ...]

_INT, _UINT, _STRING, _MAP, _VECTOR, _BLOB = 1, 2, 5, 9, 10, 25
MAX_KEYS = 64


def read_map(data: memoryview, allowance: Allowance) -> dict[str, Value]:
    """The map at the root of `data`: keys to integers, strings as bytes, and vectors as tuples."""
    if len(data) < 3:
        raise MalformedFile(f"the Edge TPU operator's options end after {len(data)} bytes")
    return _Reader(data, allowance).root()


class _Reader:
    def __init__(self, data: memoryview, allowance: Allowance) -> None:
        self._data = data
        self._allowance = allowance

    def root(self) -> dict[str, Value]:
        width, packed = self._data[-1], self._data[-2]
        if packed >> 2 != _MAP or width not in (1, 2, 4, 8):
            raise MalformedFile("the Edge TPU operator's options are not a map")
        at = self._follow(len(self._data) - 2 - width, width)
        width = 1 << (packed & 3)
        keys = self._follow(at - 3 * width, width)
        key_width = self._unsigned(at - 2 * width, width)
        count = self._unsigned(at - width, width)
        if key_width not in (1, 2, 4, 8) or not 0 < count <= MAX_KEYS:
            raise MalformedFile(f"the Edge TPU operator's options claim {count} keys of width {key_width}")
        names = [self._key(self._follow(keys + i * key_width, key_width)) for i in range(count)]
        values = self._elements(at, count, width, nested=True)
        return dict(zip(names, values, strict=True))

    def _elements(self, at: int, count: int, width: int, nested: bool) -> tuple[Value, ...]:
        """`count` values of `width` bytes each, followed by one type byte each."""
        self._allowance.spend(count)
        types = self._slice(at + count * width, count)
        return tuple(self._value(at + i * width, width, types[i], nested) for i in range(count))

    def _value(self, at: int, width: int, packed: int, nested: bool) -> Value:
        kind, child = packed >> 2, 1 << (packed & 3)
        if kind in (_INT, _UINT):
            return int.from_bytes(self._slice(at, width), "little", signed=kind == _INT)
        target = self._follow(at, width)
        size = self._unsigned(target - child, child)
        if kind in (_STRING, _BLOB):
            return self._slice(target, size)
        if kind == _VECTOR and nested:
            if size > len(self._data):
                raise MalformedFile(f"a list in the Edge TPU operator's options claims {size} elements")
            return self._elements(target, size, child, nested=False)
        raise MalformedFile(f"the Edge TPU operator's options hold an unexpected value of type {kind}")

    def _key(self, at: int) -> str:
        raw = bytes(self._slice(at, min(32, len(self._data) - at)))
        if b"\0" not in raw:
            raise MalformedFile("a key of the Edge TPU operator's options does not end")
        return raw.split(b"\0")[0].decode("ascii", "replace")

    def _follow(self, at: int, width: int) -> int:
        target = at - self._unsigned(at, width)
        if target < 0 or target >= at:
            raise MalformedFile(f"an offset in the Edge TPU operator's options points to byte {target}")
        return target

    def _unsigned(self, at: int, width: int) -> int:
        return int.from_bytes(self._slice(at, width), "little")

    def _slice(self, at: int, size: int) -> memoryview:
        if at < 0 or at + size > len(self._data):
            raise MalformedFile(f"bytes {at} to {at + size} lie outside the Edge TPU operator's options")
        return self._data[at : at + size]
