"""A TCP proxy in front of a Redis that does to its connections what networks and servers do."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import Self, TypeVar

from tests.harness.process import PATIENCE_S

T = TypeVar("T")

_CHUNK = 1 << 16
_POLL_S = 0.05


class Fault(Enum):
    """What becomes of the next command that is looked for. Redis runs it unless it is said.

    HOLD: it is kept until `release`, with all that follows on its connection.
    LOSE_COMMAND: it never arrives, and both sides are reset.
    CUT_COMMAND: half of it arrives, and both sides are reset: Redis never runs it.
    LOSE_REPLY: instead of the reply comes a reset.
    CUT_REPLY: half of the reply comes, and then the end.
    HALF_CLOSE: instead of the reply comes the end; the other direction stays open.
    SILENCE: the reply does not come, and the connection stays.
    """

    HOLD = auto()
    LOSE_COMMAND = auto()
    CUT_COMMAND = auto()
    LOSE_REPLY = auto()
    CUT_REPLY = auto()
    HALF_CLOSE = auto()
    SILENCE = auto()


class FaultyProxy:
    """Passes bytes on to `port` of this machine; its own port is `port`.

    Runs on a thread of its own; every method may be called from any other thread, and what it asks
    for holds when it returns.
    """

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self.port = 0
        self.num_struck = 0
        self._upstream = port
        self._rng = random.Random(seed)
        self._fault: Fault | None = None
        self._command = b""
        self._black = False
        self._delay_s = 0.0
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._struck = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __repr__(self) -> str:
        return f"<FaultyProxy {self.port}->{self._upstream} struck={self.num_struck}>"

    @property
    def url(self) -> str:
        """What the service is told as its store."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(PATIENCE_S), "the proxy did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._ended.set)
        self._thread.join(PATIENCE_S)

    def arm(self, fault: Fault, command: bytes = b"EVALSHA") -> None:
        """Let a fault strike the next command that holds these bytes, once."""

        def do() -> None:
            self._struck.clear()
            self._released.clear()
            self._fault, self._command = fault, command

        self._do(do)

    def wait_struck(self) -> None:
        """Return once what was armed has struck: a reply that is lost has come from Redis."""
        assert self._struck.wait(PATIENCE_S), f"{self!r}: nothing came for the fault to strike"

    def release(self) -> None:
        """Let go what is held."""
        self._do(self._released.set)

    def reset(self) -> None:
        """Reset every connection, both sides."""
        self._do(lambda: self._for_all(_Pipe.reset))

    def half_close(self) -> None:
        """End every connection towards the service, and go on reading from it."""
        self._do(lambda: self._for_all(_Pipe.half_close))

    def blacken(self) -> None:
        """Accept from now on, and never answer. What is sent meanwhile is lost for good."""

        def do() -> None:
            self._black = True

        self._do(do)

    def slow(self, most_s: float) -> None:
        """Delay whatever is sent, in either direction, by up to this."""

        def do() -> None:
            self._delay_s = most_s

        self._do(do)

    def heal(self) -> None:
        """Do nothing more to anybody. A connection whose bytes were lost stays useless."""

        def do() -> None:
            self._fault, self._black, self._delay_s = None, False, 0.0
            self._released.set()

        self._do(do)

    def _do(self, do: Callable[[], T]) -> T:
        """Call something on the proxy's thread, and wait until it was."""

        async def call() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE_S)

    def _for_all(self, do: Callable[["_Pipe"], None]) -> None:
        for pipe in self._pipes:
            do(pipe)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended, self._released = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._ended.wait()
        server.close()
        while self._tasks:
            self._for_all(_Pipe.reset)
            await asyncio.wait(self._tasks, timeout=_POLL_S)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        pipe = _Pipe(reader, writer, *there)
        self._pipes.add(pipe)
        ups = asyncio.ensure_future(self._carry_up(pipe))
        downs = asyncio.ensure_future(self._carry_down(pipe))
        await asyncio.wait([ups, downs], return_when=asyncio.FIRST_COMPLETED)
        for each in (ups, downs):
            each.cancel()
        await asyncio.gather(ups, downs, return_exceptions=True)
        await pipe.close()
        self._pipes.discard(pipe)

    async def _carry_up(self, pipe: "_Pipe") -> None:
        """What the service sends."""
        with suppress(OSError):
            while data := await pipe.reader.read(_CHUNK):
                pipe.dead = pipe.dead or self._black
                if pipe.dead:
                    continue
                await self._delay()
                if self._fault is not None and self._command in data:
                    data = await self._strike(pipe, data)
                pipe.redis_writer.write(data)
                await pipe.redis_writer.drain()

    async def _carry_down(self, pipe: "_Pipe") -> None:
        """What Redis answers."""
        with suppress(OSError):
            while data := await pipe.redis_reader.read(_CHUNK):
                await self._delay()
                if pipe.fault is not None:
                    self._spoil(pipe, data)
                elif not (pipe.dead or self._black):
                    pipe.writer.write(data)
                    await pipe.writer.drain()

    async def _delay(self) -> None:
        if self._delay_s:
            await asyncio.sleep(self._rng.uniform(0, self._delay_s))

    async def _strike(self, pipe: "_Pipe", data: bytes) -> bytes:
        """What is to be sent of a command that was looked for."""
        fault, self._fault = self._fault, None
        if fault is Fault.HOLD:
            self._tell_struck()
            await self._released.wait()
        elif fault in (Fault.CUT_COMMAND, Fault.LOSE_COMMAND):
            if fault is Fault.CUT_COMMAND:
                pipe.redis_writer.write(data[: len(data) // 2])
            pipe.reset()
            self._tell_struck()
            return b""
        else:
            pipe.fault = fault
        return data

    def _spoil(self, pipe: "_Pipe", reply: bytes) -> None:
        """Do to a reply what was armed for it."""
        if pipe.dead:
            return
        pipe.dead = True
        if pipe.fault is Fault.LOSE_REPLY:
            pipe.reset()
        elif pipe.fault is Fault.CUT_REPLY:
            pipe.writer.write(reply[: len(reply) // 2])
            pipe.writer.close()
        elif pipe.fault is Fault.HALF_CLOSE:
            pipe.half_close()
        self._tell_struck()

    def _tell_struck(self) -> None:
        self.num_struck += 1
        self._struck.set()


class _Pipe:
    """A connection of the service and its own to Redis. `dead`: nothing more is passed on.

    `fault`: what its next reply is to suffer.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        redis_reader: asyncio.StreamReader,
        redis_writer: asyncio.StreamWriter,
    ) -> None:
        self.reader, self.writer = reader, writer
        self.redis_reader, self.redis_writer = redis_reader, redis_writer
        self.dead = False
        self.fault: Fault | None = None

    def half_close(self) -> None:
        """End the direction towards the service."""
        self.dead = True
        if self.writer.can_write_eof() and not self.writer.is_closing():
            self.writer.write_eof()

    def reset(self) -> None:
        """Reset both sides."""
        self.dead = True
        _reset(self.writer)
        _reset(self.redis_writer)

    async def close(self) -> None:
        """End both sides in order, once what was written is sent."""
        for writer in (self.writer, self.redis_writer):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST in place of FIN."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        # Lingering for no time at all is how a program asks the kernel for a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
