"""What a run on several replicas has come to."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Tally:
    """Counted by one event loop.

    operations: requests recorded in a session's history, one for each session that a request names.
    unanswered: those without an answer for good. retries: requests sent again, to another replica.
    replays: recorded replies that came again. conflicts: refusals by position. unavailable: answers
    of 503 and 504.
    pauses, kills: of a replica; faults: of a connection to Redis; redis_kills: of Redis.
    late: steps that were out while their replica stood still, and were answered after it was woken;
    late_refused: those of them whose write was refused, or that were known as done.
    checked: sessions whose history was judged. undecided: those with too many orders to try.
    """

    operations: int = 0
    unanswered: int = 0
    retries: int = 0
    replays: int = 0
    conflicts: int = 0
    unavailable: int = 0
    pauses: int = 0
    kills: int = 0
    faults: int = 0
    redis_kills: int = 0
    late: int = 0
    late_refused: int = 0
    checked: int = 0
    undecided: int = 0
    violations: int = 0

    def __str__(self) -> str:
        return " ".join(f"{each.name}={getattr(self, each.name)}" for each in fields(self))
