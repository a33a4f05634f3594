"""The fuzzer that needs no library: a target's valid inputs cut at every byte, and mutants."""

import zlib
from collections.abc import Iterator
from itertools import islice

from tests.harness.fuzz.mutator import Mutator
from tests.harness.fuzz.target import Finding, Target


def inputs_of(target: Target, seed: int) -> Iterator[bytes]:
    """Valid inputs, their cuts, and then mutants without end; the same for the same seed."""
    yield from target.seeds
    for each in target.seeds:
        if len(each) <= 2048:
            yield from (each[:end] for end in range(len(each)))
    mutator = Mutator(target.seeds, seed ^ zlib.crc32(target.name.encode()))
    while True:
        yield mutator.draw()


def attempt_all(target: Target, num_inputs: int, seed: int) -> list[Finding]:
    """The findings of so many inputs, one for each place; the smallest input there."""
    found: dict[str, Finding] = {}
    for data in islice(inputs_of(target, seed), num_inputs):
        finding = target.attempt(data)
        if finding is not None:
            known = found.get(finding.where)
            if known is None or len(data) < len(known.data):
                found[finding.where] = finding
    return list(found.values())
