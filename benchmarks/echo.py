"""The ceiling: a bare ASGI callable that reads a body and answers one of the size the path names.

It runs on the same uvicorn, with the same loop, parser and settings as the service; `/80/octet`
answers 80 bytes of application/octet-stream, `/300/json` 300 bytes of application/json.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

import uvicorn

_TYPES = {"json": b"application/json", "octet": b"application/octet-stream"}

Message = MutableMapping[str, Any]


@cache
def _reply(path: str) -> tuple[Message, Message]:
    _, size, kind = path.split("/")
    headers = [
        (b"content-type", _TYPES[kind]),
        (b"content-length", size.encode()),
        (b"carousel-position", b"1"),
    ]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"0" * int(size)},
    )


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Read the whole body, answer."""
    message = await receive()
    while message.get("more_body", False):
        message = await receive()
    start, body = _reply(scope["path"])
    await send(start)
    await send(body)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=parser.parse_args().port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
