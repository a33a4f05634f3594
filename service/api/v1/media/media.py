"""`Media`: what steps, sequences and states are in one media type.

Each file beside this one has one of them, choose.py the table of all. What stands here is for
bodies that are arrays and nothing else: flags stand in the query, and the position in a header,
both ways. Of two faults in a request the one that is read first is answered.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from carousel.models.row import Array
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.http.answer import Answer, Header
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.control_bodies import WriteState
from carousel.service.api.v1.work import RowResult, Work
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import require_given
from carousel.service.sessions.results import StateRead, StepReply
from carousel.service.sessions.step import Step


class Media:
    """One media type. `is_single`: a body holds one tensor, which has no name, and so no state;
    `holds_many`: it may hold several sequences.
    """

    name: ClassVar[str]
    is_single: ClassVar[bool] = False
    holds_many: ClassVar[bool] = False

    def __init__(self) -> None:
        self.header: Header = (b"content-type", self.name.encode())

    def __repr__(self) -> str:
        return f"<Media {self.name}>"

    def read_inputs(self, exchange: Exchange, codec: Codec) -> InputSequence:
        """The inputs that a body holds."""
        raise NotImplementedError

    def write(
        self, codec: Codec, outputs: Mapping[str, Array], state: Mapping[str, Array] | None
    ) -> bytes:
        """The body that holds these."""
        raise NotImplementedError

    def read_step(self, exchange: Exchange, codec: Codec) -> Step:
        """The next time steps of a session, with position and flags."""
        sequence = self.read_inputs(exchange, codec)
        step = Step(sequence.inputs, sequence.num_steps, exchange.deadline, exchange.position())
        if exchange.query:
            flags = exchange.flags(return_state=False, commit=True)
            step.return_state, step.commit = flags["return_state"], flags["commit"]
        return step

    def write_step(self, codec: Codec, reply: StepReply) -> Answer:
        """What they gave."""
        body = self.write(codec, reply.outputs, reply.state)
        return Answer(200, body, [self.header, (b"carousel-position", b"%d" % reply.position)])

    def read_work(self, exchange: Exchange, codec: Codec, loaded: LoadedModel) -> Work:
        """Whole sequences, and where they start."""
        with_state = exchange.flags(return_state=False)["return_state"]
        require_given(loaded, (), "states")
        return Work([self.read_inputs(exchange, codec)], [None], with_state)

    def write_results(
        self, codec: Codec, loaded: LoadedModel, results: Sequence[RowResult]
    ) -> Answer:
        """What they gave."""
        [result] = results
        return Answer(200, self.write(codec, result.outputs, result.state), [self.header])

    def read_state(self, body: bytes, headers: Mapping[str, str], codec: Codec) -> WriteState:
        """A state to set, and where it stands."""
        raise NotImplementedError

    def write_state(self, read: StateRead) -> bytes:
        """The body that shows a state."""
        raise NotImplementedError
