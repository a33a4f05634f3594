"""Many sessions of one server, stepped evenly: each connection walks over a share of its own."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.artifacts import eager_outputs
from benchmarks.cases import NUM_INPUTS, SEED, Case
from benchmarks.framing import LoadError
from benchmarks.load import Load, Stream
from benchmarks.measure import TOLERANCE
from benchmarks.process import Server
from benchmarks.targets import Carousel, call, decode, read_position

NUM_CONNECTIONS = 128
_FORK = 1000
_PAGE = 1000
_PREFIX = "crowd-"
# All replies of these connections are held against eager PyTorch.
_CHECKED = (0, NUM_CONNECTIONS // 3, 2 * NUM_CONNECTIONS // 3, NUM_CONNECTIONS - 1)


class Crowd:
    """The sessions of a case, binary; `num_visits` says how often each was stepped."""

    def __init__(self, server: Server, case: Case) -> None:
        self.server = server
        self.case = case
        self.target = Carousel(server)
        self.num_visits = [0] * case.sessions
        self._inputs = case.inputs()  # (sessions, NUM_INPUTS, F)
        size = self._inputs[0, 0].nbytes
        self._head = f"POST /v1/sessions/{_PREFIX}".encode()
        self._rest = (
            f"/steps HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
        ).encode()
        shares = [range(row, case.sessions, NUM_CONNECTIONS) for row in range(NUM_CONNECTIONS)]
        self._walks = [_Walk(self, list(share), SEED + row) for row, share in enumerate(shares)]

    def __repr__(self) -> str:
        return f"<Crowd {self.case} at {self.server!r} steps={sum(self.num_visits)}>"

    def open(self) -> None:
        """Make the sessions, copies of one that was never stepped."""
        source = call(self.server, "POST", "/v1/sessions", {"model": self.case.size.model})
        path = f"/v1/sessions/{source['session_id']}"
        ids = [f"{_PREFIX}{session:06}" for session in range(self.case.sessions)]
        for first in range(0, len(ids), _FORK):
            call(self.server, "POST", path + "/fork", {"session_ids": ids[first : first + _FORK]})
        call(self.server, "DELETE", path)

    def state_bytes(self) -> int:
        """What a session's state takes."""
        found = call(self.server, "GET", f"/v1/sessions/{_PREFIX}{0:06}")
        return int(found["state_bytes"])

    def streams(self, part: int = 0, parts: int = 0) -> list[Stream]:
        """Where the walks go on: for ever, or the `part`th of `parts` of one round."""
        streams = []
        for row, walk in enumerate(self._walks):
            requests: Iterator[bytes] = walk.go_on()
            if parts:
                count = len(walk.share) * (part + 1) // parts - len(walk.share) * part // parts
                requests = islice(requests, count)
            streams.append(Stream(requests, keep=self.case.sessions if row in _CHECKED else 0))
        return streams

    def request(self, session: int) -> bytes:
        """The session's next step."""
        visit = self.num_visits[session]
        self.num_visits[session] = visit + 1
        body = self._inputs[session, visit % NUM_INPUTS].tobytes()
        return b"%s%06d%s%s" % (self._head, session, self._rest, body)

    def check(self, load: Load) -> None:
        """Raises LoadError if the replies to `streams` show a step lost, doubled or wrong."""
        for walk, reply in zip(self._walks, load.last, strict=True):
            position = read_position("binary", reply.head, reply.body)
            expected = self.num_visits[walk.visited[-1]]
            if position != expected:
                raise LoadError(f"a session stepped {expected} times stands at {position}")
        for row in _CHECKED:
            self._check_outputs(self._walks[row], load.kept[row])

    def check_positions(self) -> None:
        """Raises LoadError unless every session is there, and where its steps have taken it."""
        found, after = 0, ""
        while after is not None:
            path = f"/v1/sessions?limit={_PAGE}" + (f"&after={after}" if after else "")
            page = call(self.server, "GET", path)
            found += sum(map(self._is_right, page["sessions"]))
            after = page["next"]
        if found != self.case.sessions:
            raise LoadError(f"{self.case.sessions - found} of {self.case.sessions} are not there")

    def _is_right(self, shown: dict[str, Any]) -> bool:
        session_id = str(shown["session_id"])
        if not session_id.startswith(_PREFIX):
            return False
        expected = self.num_visits[int(session_id.removeprefix(_PREFIX))]
        if shown["position"] != expected:
            raise LoadError(
                f"{session_id} was stepped {expected} times and stands at {shown['position']}"
            )
        return True

    def _check_outputs(self, walk: "_Walk", bodies: list[bytes]) -> None:
        outputs = np.stack([decode(self.case, body) for body in bodies])  # (R, H)
        num_steps = max(self.num_visits[session] for session in walk.share)
        truth = eager_outputs(self.case.size, self._inputs[walk.share], num_steps)  # (B, T, H)
        row_of = {session: row for row, session in enumerate(walk.share)}
        rows = [row_of[session] for session in walk.visited]
        error = float(np.abs(outputs - truth[rows, walk.visits()]).max())
        if not error <= TOLERANCE:
            raise LoadError(f"{self.server.name} answers wrong: off eager PyTorch by {error:.1e}")


class _Walk:
    """One connection's way: over its share at random, all of it before any session again."""

    def __init__(self, crowd: Crowd, share: list[int], seed: int) -> None:
        self.share = share
        # The sessions stepped since `go_on`, in order.
        self.visited: list[int] = []
        self._crowd = crowd
        self._requests = self._walk(random.Random(seed))

    def go_on(self) -> Iterator[bytes]:
        """The requests from here."""
        self.visited.clear()
        return self._requests

    def visits(self) -> list[int]:
        """How often each of `visited` had been stepped before."""
        later: Counter[int] = Counter()
        visits = []
        for session in reversed(self.visited):
            later[session] += 1
            visits.append(self._crowd.num_visits[session] - later[session])
        return visits[::-1]

    def _walk(self, order: random.Random) -> Iterator[bytes]:
        sessions = list(self.share)
        while True:
            order.shuffle(sessions)
            for session in sessions:
                self.visited.append(session)
                yield self._crowd.request(session)
