"""An answer on its way in: read piece by piece, and never taken for whole when it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse

from carousel.service.admin.failure import Unreachable, visible

# What a JSON answer may take; a page of a thousand sessions is far below it.
_MAX_BYTES = 64 << 20


class Reply:
    """Status, headers and the body, which is read like a file."""

    def __init__(self, response: HTTPResponse, source: str) -> None:
        self.status = response.status
        self._response = response
        self._source = source

    def __repr__(self) -> str:
        return f"<Reply {self.status} from {self._source}>"

    def header(self, name: str) -> str:
        """A header's value, empty where there is none."""
        return self._response.getheader(name) or ""

    def read(self, num_bytes: int) -> bytes:
        """The next bytes of the body, fewer only at its end; raises Unreachable if it ends early.

        http.client itself passes over an end before Content-Length.
        """
        with told(self._source):
            data = self._response.read(num_bytes)
        if len(data) < num_bytes and self._response.length:
            raise Unreachable(
                f"{self._source}: the answer broke off {self._response.length} bytes before its end"
            )
        return data

    def read_all(self) -> bytes:
        """The body of an answer that is no tensor."""
        data = self.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise Unreachable(f"{self._source}: an answer of more than {_MAX_BYTES} bytes")
        return data


@contextmanager
def told(source: str) -> Iterator[None]:
    """Failures of the network in words. Only network calls stand in here: a file that cannot be
    written fails with the same errors.
    """
    try:
        yield
    except TimeoutError:
        raise Unreachable(f"{source}: no answer in time; --timeout allows more") from None
    except ConnectionError as error:
        raise Unreachable(f"{source} cannot be reached: {_reason(error)}") from None
    except HTTPException as error:
        raise Unreachable(f"{source} does not answer as HTTP does: {_reason(error)}") from None
    except OSError as error:
        raise Unreachable(f"{source} cannot be reached: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return visible(text) or type(error).__name__
