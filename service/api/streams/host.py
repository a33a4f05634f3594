"""Opens a stream for a call: admits it, finds or opens its session, and catches the client up."""

from collections.abc import Mapping
from contextlib import suppress

from carousel.service.api.streams.call import Call, read_call, with_key
from carousel.service.api.streams.closing import DONE
from carousel.service.api.streams.desk import Desk
from carousel.service.api.streams.message import greeting, write_error, write_reply
from carousel.service.api.streams.stream import Link, Stream
from carousel.service.errors import CarouselError, InvalidRequest, PositionConflict, ReplyNotKept
from carousel.service.sessions.answers import Resume
from carousel.service.sessions.positions import replies_after


class Host:
    """One connection's way to its stream, and what becomes of the session after it."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self._desk = desk
        self._link = link
        self._call = Call()
        self._stream: Stream | None = None

    def __repr__(self) -> str:
        return f"<Host {self._call!r} {self._stream!r}>"

    async def open(self, path: str, headers: Mapping[bytes, bytes]) -> Stream:
        """Greet the client; raises CarouselError where there is no session to stream to."""
        desk = self._desk
        tenant = desk.guard.admit(with_key(headers))
        desk.lifecycle.check()
        call = self._call = read_call(path)
        session_id = call.session_id
        if session_id is None:
            session_id = await self._open_session(tenant, call)
        # Found, and not yet waited for: the older stream's next frame must not go first.
        await desk.sessions.find(tenant, session_id)
        stream = Stream(desk, self._link, tenant, session_id, call.route)
        self._stream = stream
        await desk.take_over((tenant, session_id), stream)
        resume = await desk.sessions.resume(tenant, session_id)
        stream.reached = resume.info.position
        self._link.send(greeting(resume.info), is_text=True)
        self._catch_up(resume, call)
        return stream

    async def end(self, code: int | None) -> None:
        """The connection is gone; `code` is what the client closed it with, None if it did not."""
        stream = self._stream
        if stream is None:
            return
        stream.lost()
        await stream.settled()
        desk = self._desk
        is_last = desk.streams.get((stream.tenant, stream.session_id)) is stream
        desk.let_go((stream.tenant, stream.session_id), stream)
        if self._call.model is not None and code in DONE and is_last:
            # Whatever is wrong with it now, its time to live will end it.
            with suppress(CarouselError):
                await desk.sessions.delete(stream.tenant, stream.session_id)

    async def _open_session(self, tenant: str, call: Call) -> str:
        assert call.model is not None
        if call.ttl_s is not None and call.ttl_s > self._desk.max_ttl_s:
            raise InvalidRequest(
                f"ttl_s: {call.ttl_s:g} given; expected {self._desk.max_ttl_s:g} at most"
            )
        info = await self._desk.sessions.open(
            tenant, model=call.model, version=call.version, ttl_s=call.ttl_s
        )
        return info.session_id

    def _catch_up(self, resume: Resume, call: Call) -> None:
        """Send again what was recorded after the position that the client saw last."""
        if call.position is None:
            return
        codec = self._desk.codecs.of(resume.loaded)
        try:
            for reply in replies_after(resume.head, call.position):
                assert reply.outputs is not None
                if call.replies == "binary":
                    self._link.send(codec.outputs.raw(reply.outputs), is_text=False)
                else:
                    data = write_reply(codec, reply.outputs, reply.position, replayed=True)
                    self._link.send(data, is_text=True)
        except (PositionConflict, ReplyNotKept) as error:
            self._link.send(write_error(error, resume.info.position), is_text=True)
