"""What a service says to `carousel-sessions`, for tests in which another says it."""

import numpy as np
from safetensors.numpy import save

from tests.harness.client import MODEL
from tests.service.admin.admin import PROBLEM, http

KEY = "a-key-of-the-tests-42"


VERBS = ("list", "show", "export", "import", "delete", "check", "vacuum", "backup")


INFO = (
    b'{"session_id": "s", "model": "m", "version": 1, "position": 3, '
    b'"created_at": "2026-01-01T00:00:00.000Z", "last_used_at": "2026-01-01T00:00:00.000Z", '
    b'"expires_at": "2026-01-01T01:00:00.000Z", "state_bytes": 4000}'
)


TIMELESS = INFO.replace(b"2026-01-01T01:00:00.000Z", b"soon")


TENSOR_BODY = save({"state.h": np.zeros(1000, np.float32)})


METADATA = {
    "carousel_format": "1",
    "session_id": "new",
    "model": MODEL,
    "version": "1",
    "position": "5",
    "ttl_s": "60",
}


def problem(status: int, code: str, detail: str) -> bytes:
    """A refusal as a service would send it."""
    return http(
        status, PROBLEM, b'{"code": "%b", "detail": "%b"}' % (code.encode(), detail.encode())
    )


def state() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Tensors of a state that the LSTM takes."""
    return {name: np.ones((2, 20), np.float32) for name in ("state.h", "state.c")}


def tensors_of(body: bytes, *, length: int | None = None) -> bytes:
    """A state as the service sends it."""
    return http(
        200, "application/x-safetensors", body, length=length, more="Carousel-Position: 3\r\n"
    )
