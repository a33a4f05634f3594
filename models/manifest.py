"""The manifest of an artifact: its spec, its programs, what was measured, and a checksum per file
and of itself.
"""

import builtins
import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, TypeAdapter

from carousel.models.spec import ABSENT, ModelSpec

FORMAT = 1

ProgramKind = Literal["onnx", "torchscript"]
Ragged = Literal["exact", "equal_length"]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One executable form of the model.

    A program takes the spec's inputs in their order, then its states, then `lengths` if it has
    them, and gives the outputs in their order, then the new states that are not fixed. ONNX
    programs know them by name, TorchScript programs by position. `ragged`: `exact` rows of mixed
    lengths may share a padded run; `equal_length` only rows of one length may. `step_us`: how long
    one row of one step took where it was made, in microseconds.
    """

    __pydantic_config__ = _STRICT

    file: str
    ragged: Ragged
    lengths: str | None = None
    tolerance: float
    max_error: float
    step_us: Annotated[float | None, ABSENT] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityCase:
    """One comparison of a program with the untouched module: its largest error and the bound it
    met.

    `check` names what was compared: `whole`, `chunks 1`, `chunks T-1|1`, `ragged`, `rows`, ...
    """

    __pydantic_config__ = _STRICT

    program: ProgramKind
    check: str
    batch: int
    time: int
    error: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The parity table as printed by the exporter, and what the original did not accept."""

    __pydantic_config__ = _STRICT

    cases: tuple[ParityCase, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSum:
    """SHA-256 (hex) and size of one file of the artifact."""

    __pydantic_config__ = _STRICT

    sha256: str
    bytes: int

    @classmethod
    def of(cls, data: builtins.bytes) -> "FileSum":
        """The sum of a file that holds `data`."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`manifest.json` of an artifact.

    `state_id` names what a saved state fits: a hash of the weights and the states' spec. `golden`
    and `initial` are safetensors files. Golden tensors are named `input.<name>`, `state.<name>`,
    `output.<name>` and `state_out.<state name>`, all in model layout; the expected ones come from
    the untouched module. Initial values are named after their states, in session shape. `origins`
    says of states how they were found. `sha256` is the manifest's own sum, None where nobody has
    sealed it.
    """

    __pydantic_config__ = _STRICT

    format: int
    name: str
    created_at: str
    state_id: str
    spec: ModelSpec
    programs: dict[ProgramKind, Program]
    parity: Parity
    golden: str
    initial: str | None = None
    tools: dict[str, str]
    files: dict[str, FileSum]
    origins: Annotated[dict[str, str] | None, ABSENT] = None
    sha256: str | None = None


_ADAPTER: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def parse_manifest(data: bytes) -> Manifest:
    """A manifest from its JSON; raises pydantic.ValidationError where it is not one."""
    return _ADAPTER.validate_json(data)


def seal(manifest: Manifest) -> Manifest:
    """The manifest with its own sum, by which a change of it is found out."""
    return replace(manifest, sha256=_sum(manifest))


def is_altered(manifest: Manifest) -> bool:
    """Whether it was sealed, and says something else now."""
    return manifest.sha256 is not None and manifest.sha256 != _sum(manifest)


def dump_manifest(manifest: Manifest) -> bytes:
    """The manifest as indented JSON."""
    return _ADAPTER.dump_json(manifest, indent=2) + b"\n"


def _sum(manifest: Manifest) -> str:
    return hashlib.sha256(dump_manifest(replace(manifest, sha256=None))).hexdigest()
