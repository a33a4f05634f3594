"""A step of a sequence, as a request asks for it, and how it is to be answered."""

from dataclasses import dataclass

from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.http.answer import Answer
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.work import RowResult
from carousel.service.api.v2.oip_codec import ChosenOutputs, OipCodec
from carousel.service.api.v2.request import InferRequest
from carousel.service.api.v2.respond import respond
from carousel.service.api.v2.sequence_parameters import SequenceParameters
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.step import Step


@dataclass(slots=True)
class SequenceStep:
    """The step, and all that its answer needs."""

    params: SequenceParameters
    request: InferRequest
    codec: OipCodec
    choice: ChosenOutputs
    step: Step

    @property
    def answer_bytes(self) -> int:
        """How much memory the answer may take."""
        return self.codec.answer_size.of(self.step.num_steps, with_state=self.choice.with_state)

    def answer(self, reply: StepReply, *, restarted: bool = False) -> Answer:
        rows = [RowResult(reply.outputs, reply.state)]
        parameters = self.params.shown(reply, restarted=restarted)
        return respond(self.codec, self.request, self.choice, rows, parameters)


def make_step(
    exchange: Exchange,
    params: SequenceParameters,
    request: InferRequest,
    codec: OipCodec,
    choice: ChosenOutputs,
    sequence: InputSequence,
) -> SequenceStep:
    """The step that a request's one row is."""
    step = Step(
        sequence.inputs,
        sequence.num_steps,
        exchange.deadline,
        params.position,
        return_state=choice.with_state,
        ends=params.end,
    )
    return SequenceStep(params, request, codec, choice, step)
