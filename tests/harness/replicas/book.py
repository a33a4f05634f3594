"""The sessions of a run: those that are stepped now, and those that are to be judged."""

from tests.harness.replicas.session import Session

_FULL = 250
_OVERFULL = 1000


class Book:
    """`live` are few, so that clients collide. Each gives its place to a new one after a while, so
    that histories stay short.
    """

    def __init__(self, num_live: int) -> None:
        self._num_made = 0
        self._retired: list[Session] = []
        self.live = [self.new() for _ in range(num_live)]

    def __repr__(self) -> str:
        return f"<Book live={len(self.live)} made={self._num_made}>"

    def new(self) -> Session:
        """A session that was never opened."""
        self._num_made += 1
        return Session(f"s{self._num_made}")

    def replace(self, old: Session, new: Session) -> None:
        """Give the place of a live session to another."""
        self.live[self.live.index(old)] = new
        self._retired.append(old)

    def retire_full(self, *, patient: bool) -> None:
        """Give the places of full sessions to new ones. `patient`: a late write is to meet a
        session that goes on.
        """
        most = _OVERFULL if patient else _FULL
        for session in [each for each in self.live if len(each.history) >= most]:
            self.replace(session, self.new())

    def take_finished(self) -> list[Session]:
        """Those that were replaced and have no request under way any more, each once."""
        finished = [each for each in self._retired if not each.num_out]
        self._retired = [each for each in self._retired if each.num_out]
        return finished

    @property
    def num_retired(self) -> int:
        """Those that were replaced, and not taken yet."""
        return len(self._retired)
