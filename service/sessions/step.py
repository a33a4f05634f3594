"""What a client asks of a session."""

from collections.abc import Callable
from dataclasses import dataclass

from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.sessions.results import StepReply


@dataclass(slots=True)
class Step:
    """`inputs`: wire layout; `deadline`: monotonic seconds; `ends`: the session is over after
    it.
    """

    inputs: dict[str, Array]
    num_steps: int
    deadline: float
    position: int | None = None
    return_state: bool = False
    commit: bool = True
    ends: bool = False


# The step that a body is to a model. Called on the session's turn, with the model it runs on, and
# again where that is another by then. Raises CarouselError.
Read = Callable[[LoadedModel], Step]
# Told once of a step that was begun, on the loop, and never before `begin` has come back: its
# reply, or why there is none.
Done = Callable[[StepReply | Exception], None]
