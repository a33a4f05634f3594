"""A session that all clients share, as the load knows it: its history, a guess of where it is."""

from collections import deque
from dataclasses import dataclass, field

from tests.harness.histories import Call, Operation, Step, Write
from tests.harness.witness import EXACT_BELOW

_KEPT_STEPS = 12
# Half of what a float holds exactly: the second feature is twice the first.
_MAX_TOTAL = EXACT_BELOW // 2


@dataclass(slots=True, eq=False)
class Session:
    """`position`: the last one heard of, right or not. `bound`: no total of it is above.

    `num_out`: requests under way. `recent`: steps that were sent, to be sent again.
    """

    id: str
    position: int = 0
    bound: int = 0
    num_out: int = 0
    history: list[Operation] = field(default_factory=list)
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=_KEPT_STEPS))

    def sent(self, call: Call) -> None:
        """A request is under way; it may take effect from now on."""
        self.num_out += 1
        if isinstance(call, Step):
            self.bound += sum(call.values)
            if call.position is not None and call not in self.recent:
                self.recent.append(call)
        elif isinstance(call, Write):
            self.bound += call.total

    def has_room_for(self, total: int) -> bool:
        """Whether all sums stay exact if so much more is added."""
        return self.bound + total < _MAX_TOTAL
