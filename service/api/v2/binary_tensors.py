"""The frame of a body with binary tensors: JSON first, and its length in a header.

Triton's extension_binary_data: what follows the JSON are the tensors that announce a
`binary_data_size`, in their order, little-endian and row-major. A length of 0 says that there is no
JSON, and the whole body is the one input.
"""

from carousel.service.errors import InvalidRequest, Malformed, ShapeMismatch

HEADER = b"inference-header-content-length"

_NAME = "Inference-Header-Content-Length"
_MAX_DIGITS = 18


def read_length(given: bytes, num_bytes: int) -> int:
    """How much of a body is JSON, by what the header says; raises Malformed."""
    if not given.isdigit() or len(given) > _MAX_DIGITS or int(given) > num_bytes:
        raise Malformed(
            f"{_NAME}: {given.decode('latin-1')!r} given, with a body of {num_bytes} bytes; "
            "expected the length of the JSON at its beginning"
        )
    return int(given)


class BinaryTensors:
    """The tensors behind the JSON, taken one after the other."""

    __slots__ = ("_binary", "_offset")

    def __init__(self, binary: bytes | None) -> None:
        self._binary = binary
        self._offset = 0

    def __repr__(self) -> str:
        return (
            f"<BinaryTensors {self._offset} of {0 if self._binary is None else len(self._binary)}>"
        )

    def take(self, size: int, where: str) -> bytes:
        """The next `size` bytes; raises ShapeMismatch where there are fewer."""
        binary, start = self._binary, self._offset
        if binary is None:
            raise InvalidRequest(f"{where}: binary_data_size given, without the header {_NAME}")
        if start == 0 and size == len(binary):
            self._offset = size
            return binary
        if size > len(binary) - start:
            raise ShapeMismatch(
                f"{where}: binary_data_size {size} given; {len(binary) - start} bytes are left"
            )
        self._offset = start + size
        return binary[start : start + size]

    def check_end(self) -> None:
        """Raise where bytes are left that no tensor announced."""
        left = 0 if self._binary is None else len(self._binary) - self._offset
        if left:
            raise ShapeMismatch(
                f"the body: {left} bytes more than the inputs' binary_data_size announce"
            )
