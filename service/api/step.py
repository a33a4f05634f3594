"""`POST /v1/sessions/{id}/steps`: the hottest route of all."""

from collections.abc import Callable
from typing import Any

from service.api.answer import Answer, Header, answer
from service.api.arrays import arrays_json
from service.api.codec import Codec, Codecs
from service.api.document import check_members, may_hold_bools, parse, take_flag, take_position
from service.api.exchange import Exchange
from service.api.media import Media
from service.api.problem import problem, unexpected
from service.api.tensorfile import parse_tensors
from service.api.wire import StepBody
from service.engine.request import Abandoned, Request
from service.errors import CarouselError, InvalidRequest
from service.sessions.answers import StepReply
from service.sessions.session import Session
from service.sessions.sessions import Sessions
from service.sessions.stepper import Step

_FIELDS = frozenset(StepBody.model_fields)

_REPLAYED: Header = (b"carousel-replayed", b"true")


class StepRoute:
    """Feeds a session one or more time steps."""

    def __init__(self, sessions: Sessions, codecs: Codecs) -> None:
        self._sessions = sessions
        self._codecs = codecs

    def __repr__(self) -> str:
        return f"<StepRoute {self._sessions!r}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer one step."""
        session_id = exchange.parts[3]
        session = self._sessions.peek(exchange.tenant, session_id)
        if session is None:
            session = await self._sessions.find(exchange.tenant, session_id)
        codec, step, media = self._read(exchange, session)
        return _write(codec, await self._sessions.step(session, step), media)

    def begin(self, exchange: Exchange, send: Callable[[Answer | None], None]) -> Request | None:
        """Start answering a step that has nothing to wait for but its run; `send` is called later.

        None, or an error, where it is not so: nothing was begun then.
        """
        session = self._sessions.peek(exchange.tenant, exchange.parts[3])
        if session is None or session.busy:
            return None
        codec, step, media = self._read(exchange, session)

        def done(outcome: StepReply | BaseException) -> None:
            if isinstance(outcome, StepReply):
                send(_write(codec, outcome, media))
            elif isinstance(outcome, Abandoned):
                send(None)
            elif isinstance(outcome, CarouselError):
                send(problem(outcome, is_step=True))
            else:
                send(problem(unexpected(outcome, where="a step"), is_step=True))

        return self._sessions.begin(session, step, done)

    def _read(self, exchange: Exchange, session: Session) -> tuple[Codec, Step, Media]:
        codec = self._codecs.of(session.loaded)
        given = exchange.media
        step = _read_json(exchange, codec) if given is Media.JSON else _read(exchange, codec, given)
        return (
            codec,
            step,
            codec.outputs.media(exchange.accept, given, with_state=step.return_state),
        )


def read_step(document: dict[str, Any], codec: Codec, deadline: float, *, bools: bool) -> Step:
    """The step that a JSON object is; raises InvalidRequest and its subclasses."""
    if "inputs" not in document:
        raise InvalidRequest("inputs: nothing given; expected the session's next time steps")
    sequence = codec.inputs.read_json(document["inputs"], "inputs", bools=bools)
    step = Step(sequence.inputs, sequence.num_steps, deadline)
    if len(document) > 1:
        check_members(document, _FIELDS)
        step.position = take_position(document)
        step.return_state = take_flag(document, "return_state", False)
        step.commit = take_flag(document, "commit", True)
    return step


def _read_json(exchange: Exchange, codec: Codec) -> Step:
    body = exchange.body
    step = read_step(parse(body), codec, exchange.deadline(), bools=may_hold_bools(body))
    if exchange.query:
        # In JSON they are members of the body; one that was passed over would move the state.
        exchange.flags()
    position = exchange.position()
    if position is not None:
        if step.position not in (None, position):
            raise InvalidRequest(
                f"Carousel-Position: {position} given, and position {step.position} in the body"
            )
        step.position = position
    return step


def _read(exchange: Exchange, codec: Codec, given: Media) -> Step:
    if given is Media.RAW:
        sequence = codec.inputs.read_bytes(exchange.body)
    else:
        sequence = codec.inputs.read_tensors(parse_tensors(exchange.body))
    step = Step(sequence.inputs, sequence.num_steps, exchange.deadline(), exchange.position())
    if exchange.query:
        flags = exchange.flags(return_state=False, commit=True)
        step.return_state, step.commit = flags["return_state"], flags["commit"]
    return step


def _write(codec: Codec, reply: StepReply, media: Media) -> Answer:
    outputs, position, state = reply.outputs, reply.position, reply.state
    if media is Media.JSON:
        tail = b"" if state is None else b',"state":%b' % arrays_json(state)
        body = b'{"outputs":%b,"position":%d%b}' % (codec.outputs.json(outputs), position, tail)
        sent = answer(media, body)
    else:
        is_raw = media is Media.RAW
        body = codec.outputs.raw(outputs) if is_raw else codec.outputs.tensors(outputs, state)
        sent = answer(media, body, (b"carousel-position", b"%d" % position))
    if reply.replayed:
        sent.headers.append(_REPLAYED)
    return sent
