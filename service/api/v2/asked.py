"""A step of a sequence, as a request asks for it, and how it is to be answered."""

from dataclasses import dataclass

from carousel.service.api.encoding.inputs import Sequence
from carousel.service.api.http.answer import Answer
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v2.outputs import RowResult
from carousel.service.api.v2.plan import Choice, Plan
from carousel.service.api.v2.request import InferRequest
from carousel.service.api.v2.respond import respond
from carousel.service.api.v2.sequence import SequenceCall
from carousel.service.sessions.answers import StepReply
from carousel.service.sessions.stepper import Step


@dataclass(slots=True)
class Asked:
    """The step, and all that its answer needs."""

    call: SequenceCall
    request: InferRequest
    plan: Plan
    choice: Choice
    step: Step

    def answer(self, reply: StepReply, *, restarted: bool = False) -> Answer:
        """The answer to the step."""
        rows = [RowResult(reply.outputs, reply.state)]
        parameters = self.call.shown(reply, restarted=restarted)
        return respond(self.plan, self.request, self.choice, rows, parameters)


def ask(
    exchange: Exchange,
    call: SequenceCall,
    request: InferRequest,
    plan: Plan,
    choice: Choice,
    sequence: Sequence,
) -> Asked:
    """The step that a request's one row is."""
    step = Step(
        sequence.inputs,
        sequence.num_steps,
        exchange.deadline(),
        call.position,
        return_state=choice.with_state,
        ends=call.end,
    )
    return Asked(call, request, plan, choice, step)
