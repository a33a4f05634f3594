"""`Mutator`: valid inputs, made wrong in the ways that decoders mind. Seeded, needs no library."""

import random
from collections.abc import Callable, Sequence

_NUMBERS = (
    b"0", b"-1", b"1e999", b"-0.0", b"1e-320", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b"4294967295", b"65536", b"127", b"126", b"1.5", b"NaN",
    b"9" * 40, b"9" * 5000, b"00", b"+1", b"0x10", b"1_0", "\u00b2".encode(), "\u0663".encode(),
)  # fmt: skip
_WORDS = (
    b"null", b"true", b"false", b"{}", b"[]", b'""', b"[" * 40, b"]" * 40, b'{"a":' * 20,
    b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"\xff\xfe", b"\xc3\x28", b"%00", b"%2F", b"%", b"?",
    b";", b",", b"=", b'"', b"\\", b"\\ud800", b"chunked", b"Host: a\r\n", b"Transfer-Encoding: ",
    b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"inputs",
    b"state.", b"position", b"sequence_id", b"binary_data_size", b"shape", b"data", b"parameters",
)  # fmt: skip
_SIZES = (1, 2, 4, 8)
_MAX_BYTES = 8192


class Mutator:
    """Draws inputs without end; the same seed draws the same."""

    def __init__(self, seeds: Sequence[bytes], seed: int) -> None:
        self._seeds = seeds
        self._rng = random.Random(seed)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._cut, self._repeat, self._splice, self._number, self._word,
            self._size, self._drop,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Mutator seeds={len(self._seeds)}>"

    def draw(self) -> bytes:
        """A valid input with one to four things wrong."""
        rng = self._rng
        data = rng.choice(self._seeds)
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
            data = rng.choice(self._ways)(data)
        return data[:_MAX_BYTES]

    def _at(self, data: bytes) -> int:
        return self._rng.randint(0, len(data))

    def _span(self, data: bytes) -> tuple[int, int]:
        first, second = self._at(data), self._at(data)
        return min(first, second), max(first, second)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        changed = bytearray(data)
        for _ in range(self._rng.choice((1, 1, 2, 8))):
            changed[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        at = self._at(data)
        return data[:at] if self._rng.random() < 0.7 else data[at:]

    def _drop(self, data: bytes) -> bytes:
        first, last = self._span(data)
        last = min(last, first + 16)
        return data[:first] + data[last:]

    def _repeat(self, data: bytes) -> bytes:
        first, last = self._span(data)
        times = self._rng.choice((2, 2, 3, 30))
        return data[:first] + data[first:last] * times + data[last:]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._seeds)
        return data[: self._at(data)] + other[self._at(other) :]

    def _number(self, data: bytes) -> bytes:
        """Put another number where one stands."""
        at = self._at(data)
        first = at
        while first < len(data) and not data[first : first + 1].isdigit():
            first += 1
        last = first
        while last < len(data) and data[last : last + 1].isdigit():
            last += 1
        return data[:first] + self._rng.choice(_NUMBERS) + data[last:]

    def _word(self, data: bytes) -> bytes:
        at = self._at(data)
        kept = at if self._rng.random() < 0.5 else min(len(data), at + self._rng.randrange(8))
        return data[:at] + self._rng.choice(_WORDS) + data[kept:]

    def _size(self, data: bytes) -> bytes:
        """Put a length, as binary formats have them, over some bytes."""
        size = self._rng.choice(_SIZES)
        value = self._rng.choice((0, 1, 127, 128, 255, len(data), (1 << 8 * size) - 1))
        order = self._rng.choice(("big", "little"))
        packed = (value % (1 << 8 * size)).to_bytes(size, "big" if order == "big" else "little")
        at = self._at(data)
        return data[:at] + packed + data[at + size :]
