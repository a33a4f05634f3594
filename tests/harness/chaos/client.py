"""A client: what it does next with its sessions is drawn at random."""

from collections.abc import Awaitable, Callable

from tests.harness.chaos.control import Control
from tests.harness.chaos.rider import Rider
from tests.harness.chaos.truth import Truth
from tests.harness.witness import EXACT_BELOW

_FEWEST, _MOST = 2, 4


class Client:
    """Owns two to four sessions most of the time."""

    def __init__(self, rider: Rider, new_id: Callable[[], str]) -> None:
        self.rider = rider
        self._rng = rider.rng
        self._control = control = Control(rider, new_id)
        self._acts: dict[Callable[[Truth], Awaitable[None]], int] = {
            rider.step: 76, self._bulk: 4, rider.look_ahead: 3, rider.repeat: 4, rider.stray: 3,
            rider.check: 3, control.fork: 2, self._renew: 2,
        }  # fmt: skip
        if not rider.line.impatient:
            # A step that was given up may still run after these, and nobody could tell it from a
            # new one: the contract says so.
            self._acts |= {control.reset: 2, control.write: 1}

    def __repr__(self) -> str:
        return f"<Client {self.rider!r}>"

    async def act(self) -> None:
        """Do one thing."""
        owned = self.rider.owned
        while len(owned) < _FEWEST:
            await self._control.open()
        while len(owned) > _MOST:
            await self._control.delete(self._rng.choice(owned))
        truth = self._rng.choice(owned)
        if max(truth.place.sums) > EXACT_BELOW // 2:
            await self._renew(truth)
        else:
            act = self._rng.choices(list(self._acts), list(self._acts.values()))[0]
            await act(truth)

    async def check(self) -> None:
        """Every session is in the store as it should be."""
        for truth in self.rider.owned:
            await self.rider.check_whole(truth)

    async def _bulk(self, _: Truth) -> None:
        await self.rider.bulk()

    async def _renew(self, truth: Truth) -> None:
        """Delete a session and open one, half of the time under the same id."""
        again = None if self.rider.line.impatient or self._rng.random() < 0.5 else truth.id
        await self._control.delete(truth)
        await self._control.open(again)
