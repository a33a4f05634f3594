"""A transport that writes once a turn of the event loop.

uvicorn writes the head of an answer and its body one after the other, and uvloop hands each to the
kernel at once: two system calls and two packets for one small answer.
"""

import asyncio


class CoalescingTransport(asyncio.Transport):
    """Holds back what is written until the loop's next turn, then writes it as one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes | bytearray | memoryview] = []
        self.is_closing = transport.is_closing  # type: ignore[method-assign]  # the shorter way
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<CoalescingTransport held={len(self._held)} {self._transport!r}>"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write at the next turn, or with whatever else this one brings."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def write_now(self, data: bytes) -> None:
        """Write what is whole already, without waiting for more of it."""
        if self._held:
            self.write(data)
        else:
            self._transport.write(data)

    def release(self) -> asyncio.Transport:
        """The transport underneath, for another protocol; what is held is written."""
        self._flush()
        return self._transport

    def close(self) -> None:
        """Write what is held, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is held is lost."""
        self._held.clear()
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._transport.get_write_buffer_size() + sum(len(each) for each in self._held)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))
