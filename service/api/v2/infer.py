"""`POST /v2/models/{model}[/versions/{version}]/infer`: stateless, or a step of a sequence."""

from collections.abc import Callable

from carousel.service.api.http.answer import Answer
from carousel.service.api.http.exchange import Abandonable, Exchange, read_version
from carousel.service.api.http.problem import unexpected
from carousel.service.api.v1.infer import run
from carousel.service.api.v2.asked import Asked, ask
from carousel.service.api.v2.familiar import Familiar, FamiliarRequests
from carousel.service.api.v2.fault import fault
from carousel.service.api.v2.outputs import RowResult
from carousel.service.api.v2.plan import Plan, Plans
from carousel.service.api.v2.request import InferRequest, read_request
from carousel.service.api.v2.respond import respond
from carousel.service.api.v2.sequence import SequenceCall, read_sequence
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded import Loaded
from carousel.service.engine.request import Abandoned
from carousel.service.engine.start import require_given
from carousel.service.errors import CarouselError, ModelMismatch
from carousel.service.sessions.answers import StepReply
from carousel.service.sessions.record import Key
from carousel.service.sessions.sequences import Sequences
from carousel.service.sessions.session import Session

OIP_INFER_PATH = "/v2/models/{model}/infer"
OIP_INFER_VERSION_PATH = "/v2/models/{model}/versions/{version}/infer"

# Told the answer once it is there; None where the client has gone.
Send = Callable[[Answer | None], None]

# No request without this names a sequence; one that spells it otherwise goes the longer way.
_MARK = b'"sequence_id"'


class OipInferRoute:
    """Infers. `max_at_once`: how many rows of one request may be in a model's queue together."""

    def __init__(
        self, catalog: Catalog, sequences: Sequences, *, max_steps: int, max_at_once: int
    ) -> None:
        self._catalog = catalog
        self._sequences = sequences
        self._plans = Plans(max_steps=max_steps)
        self._familiar = FamiliarRequests()
        self._max_at_once = max_at_once

    def __repr__(self) -> str:
        return f"<OipInferRoute {self._catalog!r} {self._sequences!r}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer one request."""
        loaded = self._catalog.get(exchange.parts[3], _version(exchange))
        request = read_request(exchange)
        call = read_sequence(request.parameters, exchange.tenant, exchange.parts[3])
        if call is None:
            return await self._infer(exchange, request, self._plans.of(loaded))
        try:
            return await self._step(exchange, request, call, loaded)
        except CarouselError as error:
            raise call.told(error) from None

    def begin(self, exchange: Exchange, send: Send) -> Abandonable | None:
        """Start answering a step that has nothing to wait for but its run; `send` is called later.

        None, or an error, where it is not so: nothing was begun then. A step that ends its sequence
        is not: it may be a repeat, whose session is gone.
        """
        if _MARK not in exchange.body:
            return None
        familiar = self._familiar.find(exchange)
        if familiar is not None:
            return self._begin_familiar(exchange, familiar, send)
        request = read_request(exchange)
        call = read_sequence(request.parameters, exchange.tenant, exchange.parts[3])
        if call is None or call.start or call.end:
            return None
        session = self._idle(call.key)
        if session is None:
            return None
        asked = self._read(exchange, request, call, session.loaded)
        self._familiar.keep(exchange, asked)
        return self._begin(session, asked, send)

    def _begin_familiar(
        self, exchange: Exchange, familiar: Familiar, send: Send
    ) -> Abandonable | None:
        session = self._idle(familiar.call.key)
        if session is None:
            return None
        asked = familiar.ask(exchange, session.loaded)
        if asked is None:
            self._familiar.forget(exchange)
            return None
        return self._begin(session, asked, send)

    def _idle(self, key: Key) -> Session | None:
        session = self._sequences.peek(key)
        return None if session is None or session.busy else session

    def _begin(self, session: Session, asked: Asked, send: Send) -> Abandonable | None:
        def done(outcome: StepReply | BaseException) -> None:
            if isinstance(outcome, StepReply):
                send(asked.answer(outcome))
            elif isinstance(outcome, Abandoned):
                send(None)
            elif isinstance(outcome, CarouselError):
                send(fault(asked.call.told(outcome)))
            else:
                send(fault(unexpected(outcome, where="a step")))

        return self._sequences.begin(session, asked.step, done)

    async def _infer(self, exchange: Exchange, request: InferRequest, plan: Plan) -> Answer:
        choice = plan.choose(request)
        work = plan.read(request, with_state=choice.with_state)
        if None in work.rows:
            require_given(plan.loaded, (), "inputs")
        results = await run(plan.loaded, work, exchange.deadline(), self._max_at_once)
        unpack = plan.loaded.layout.unpack
        rows = [
            RowResult(each.outputs, None if each.state is None else unpack(each.state))
            for each in results
        ]
        return respond(plan, request, choice, rows)

    async def _step(
        self, exchange: Exchange, request: InferRequest, call: SequenceCall, loaded: Loaded
    ) -> Answer:
        if call.start:
            plan = self._plans.of(loaded)
            work = plan.read_start(request)
            choice = plan.choose(request)
            asked = ask(exchange, call, request, plan, choice, work.sequences[0])
            started = await self._sequences.start(call.key, loaded, asked.step, work.rows[0])
            return asked.answer(started.reply, restarted=started.restarted)
        loaded = await self._sequences.model(call.key, ends=call.end)
        asked = self._read(exchange, request, call, loaded)
        return asked.answer(await self._sequences.step(call.key, asked.step))

    def _read(
        self, exchange: Exchange, request: InferRequest, call: SequenceCall, loaded: Loaded
    ) -> Asked:
        version = _version(exchange)
        if version not in (None, loaded.version):
            raise ModelMismatch(
                f"version {version} given; the sequence runs on version {loaded.version}"
            )
        plan = self._plans.of(loaded)
        choice = plan.choose(request)
        return ask(exchange, call, request, plan, choice, plan.read_step(request))


def _version(exchange: Exchange) -> int | None:
    """The version that the path names."""
    parts = exchange.parts
    return read_version(parts[5]) if len(parts) > 6 else None
