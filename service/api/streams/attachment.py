"""A connection's attachment to a session: the client is admitted, its session found or opened, a
stream made and what the client missed sent again; and what becomes of the session afterwards.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress

from carousel.service.api.streams.call import Call, read_call, with_key
from carousel.service.api.streams.client_link import ClientLink
from carousel.service.api.streams.closing import DONE
from carousel.service.api.streams.message import greeting, write_error
from carousel.service.api.streams.registry import StreamRegistry
from carousel.service.api.streams.stream import Stream
from carousel.service.api.v1.media.json import write_step
from carousel.service.errors import CarouselError, InvalidRequest, PositionConflict, ReplyNotKept
from carousel.service.sessions.positions import replies_after
from carousel.service.sessions.results import Resume

log = logging.getLogger("carousel.access")


class Attachment:
    """Of one connection: `open` it to a stream, and `end` it once the connection is gone."""

    def __init__(self, registry: StreamRegistry, link: ClientLink) -> None:
        self._registry = registry
        self._services = registry.services
        self._link = link
        self._call = Call()
        self._stream: Stream | None = None

    def __repr__(self) -> str:
        return f"<Attachment {self._call!r} {self._stream!r}>"

    async def open(self, path: str, headers: Mapping[bytes, bytes]) -> Stream:
        """Greet the client; raises CarouselError where there is no session to stream to."""
        services = self._services
        tenant = services.authenticator.admit(with_key(headers))
        services.lifecycle.check()
        call = self._call = read_call(path)
        session_id = call.session_id
        if session_id is None:
            session_id = await self._open_session(tenant, call)
        # Found, and not yet waited for: the older stream's next frame must not go first.
        await services.sessions.find(tenant, session_id)
        stream = Stream(services, self._link, tenant, session_id, call.route)
        self._stream = stream
        await self._registry.take_over((tenant, session_id), stream)
        resume = await services.sessions.resume(tenant, session_id)
        if call.dtype is not None:
            services.codecs.of(resume.loaded).inputs.check_dtype(call.dtype, "dtype")
        stream.reached = resume.info.position
        self._link.send(greeting(resume.info), is_text=True)
        self._catch_up(resume, call)
        log.debug("a stream of session %s opened at %d", session_id, resume.info.position)
        return stream

    async def end(self, code: int | None) -> None:
        """The connection is gone; `code` is what the client closed it with, None if it did not."""
        stream = self._stream
        if stream is None:
            return
        log.debug("a stream of session %s ended with code %s", stream.session_id, code)
        stream.lost()
        await stream.settled()
        key = (stream.tenant, stream.session_id)
        is_last = self._registry.streams.get(key) is stream
        self._registry.let_go(key, stream)
        if self._call.model is not None and code in DONE and is_last:
            # Whatever is wrong with it now, its time to live will end it.
            with suppress(CarouselError):
                await self._services.sessions.delete(*key)

    async def _open_session(self, tenant: str, call: Call) -> str:
        assert call.model is not None
        if call.ttl_s is not None and call.ttl_s > self._services.max_ttl_s:
            raise InvalidRequest(
                f"ttl_s: {call.ttl_s:g} given; expected {self._services.max_ttl_s:g} at most"
            )
        info = await self._services.sessions.open(
            tenant, model=call.model, version=call.version, ttl_s=call.ttl_s
        )
        return info.session_id

    def _catch_up(self, resume: Resume, call: Call) -> None:
        """Send again what was recorded after the position that the client saw last."""
        if call.position is None:
            return
        codec = self._services.codecs.of(resume.loaded)
        try:
            for reply in replies_after(resume.meta, call.position):
                assert reply.outputs is not None
                if call.replies == "binary":
                    self._link.send(codec.outputs.raw(reply.outputs), is_text=False)
                else:
                    data = write_step(codec, reply.outputs, reply.position, replayed=True)
                    self._link.send(data, is_text=True)
        except (PositionConflict, ReplyNotKept) as error:
            self._link.send(write_error(error, resume.info.position), is_text=True)
