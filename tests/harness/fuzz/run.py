"""`Run`: the phases, one after the other, as far as they are not done yet."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.harness.fuzz import guided, schema
from tests.harness.fuzz.bombs import BOMBS, Bomb, throw
from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.plain import attempt_all
from tests.harness.fuzz.progress import Progress
from tests.harness.fuzz.target import Finding
from tests.harness.fuzz.targets import all_targets
from tests.harness.fuzz.victim import KEY, Victim
from tests.harness.fuzz.wire import Wire
from tests.harness.witness import export_witness

# Of all inputs; the decoders get what these leave.
_WIRE_SHARE, _SCHEMA_SHARE = 0.03, 0.01
_OPERATIONS = 27 * 6
_WIRE, _SCHEMA, _BYTES, _BOMBS = "wire", "schema", "bytes ", "bombs "


@dataclass(frozen=True, slots=True)
class Piece:
    """What is done whole or not at all."""

    name: str
    act: Callable[[Outcome], None]


class Run:
    """Brings `progress` to its goal; `stopped` is asked between pieces."""

    def __init__(self, progress: Progress, folder: Path, say: Callable[[str], None]) -> None:
        self._progress = progress
        self._folder = folder
        self._say = say
        self._targets = all_targets()
        self._has_guide, self._has_schema = guided.is_there(), schema.is_there()
        self.stopped = False

    def __repr__(self) -> str:
        return f"<Run {self._progress.inputs} of {self._progress.goal}>"

    def go(self) -> bool:
        """Do what is left; False if it was stopped before."""
        for word, there in (("atheris", self._has_guide), ("schemathesis", self._has_schema)):
            if not there:
                self._say(f"{word} is not installed: less is tried (pip install '.[fuzz]')")
        export_witness(self._folder / "repository")
        for piece in self._pieces():
            if piece.name in self._progress.done:
                continue
            if self.stopped:
                return False
            outcome, began = Outcome(), time.monotonic()
            piece.act(outcome)
            outcome.seconds = outcome.seconds or time.monotonic() - began
            self._progress.done[piece.name] = outcome
            self._progress.save(self._folder)
            broken = outcome.broken()
            self._say(f"{piece.name}: {outcome.inputs} inputs, {outcome.seconds:.0f} s"
                      + "".join(f"\n  {each}" for each in broken))  # fmt: skip
        return True

    def _pieces(self) -> Iterator[Piece]:
        yield Piece(_WIRE, self._wire)
        for bomb in BOMBS:
            yield Piece(_BOMBS + bomb.name, partial(self._bomb, bomb))
        if self._has_schema:
            yield Piece(_SCHEMA, self._schema)
        done = self._progress.done.items()
        others = sum(each.inputs for name, each in done if not name.startswith(_BYTES))
        number = -(-(self._progress.goal - others) // len(self._targets))
        for target in self._targets:
            yield Piece(_BYTES + target, partial(self._decode, target, number))

    def _decode(self, name: str, num_inputs: int, outcome: Outcome) -> None:
        seed = (self._progress.seed + len(self._progress.done)) % 2**31
        findings: list[Finding]
        if self._has_guide:
            findings = guided.run_guided(name, num_inputs, seed or 1, self._folder)
        else:
            findings = attempt_all(self._targets[name], num_inputs, seed)
        for each in findings:
            (self._folder / f"finding-{each.target}-{len(each.data)}").write_bytes(each.data)
        outcome.inputs = num_inputs
        outcome.findings = list(map(str, findings))

    def _wire(self, outcome: Outcome) -> None:
        number = int(self._progress.goal * _WIRE_SHARE)
        with self._victim() as victim, victim.watched(outcome):
            asyncio.run(Wire(victim.port, outcome, self._progress.seed).attack(number))

    def _bomb(self, bomb: Bomb, outcome: Outcome) -> None:
        with self._victim() as victim, victim.watched(outcome):
            asyncio.run(throw(victim.port, bomb, victim.size, outcome))

    def _schema(self, outcome: Outcome) -> None:
        examples = max(2, int(self._progress.goal * _SCHEMA_SHARE) // _OPERATIONS)
        with self._victim(KEY) as victim, victim.watched(outcome):
            schema.run_schema(victim, examples, self._progress.seed, self._folder, outcome)

    def _victim(self, key: str = "") -> Victim:
        return Victim(self._folder / "repository", key=key)
