"""Files and stored records as targets: what a repository, a store or an archive may hold."""

import hashlib
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
from safetensors.numpy import save

from carousel.models.artifact import MANIFEST_FILE, Artifact, ArtifactError, write_artifact
from carousel.models.manifest import FileSum
from carousel.service.admin.archive import Archived, archived, read_archive
from carousel.service.admin.failure import Failure
from carousel.service.sessions.recorded_reply import add_reply, unpack_replies
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.redis.value import (
    meta_end,
    pack,
    pack_tombstone,
    unpack,
    unpack_meta,
)
from carousel.service.sessions.stores.sealed import Damage, seal, unseal_meta
from carousel_client.errors import BadAnswer
from carousel_client.tensorfile import read_tensors
from tests.harness.artifacts import FILES, MANIFEST
from tests.harness.fuzz.target import Target

_KEY = ("default", "s")
_REVISION = bytes(range(16))
_CHECKED = 4


def file_targets() -> tuple[Target, ...]:
    """Manifests, golden examples, archives, answers of a state, records."""
    return (
        Target("manifest", _manifest, (_manifest_seed(),), (ArtifactError,)),
        Target("golden", _golden, tuple(FILES.values()), (ArtifactError,)),
        Target("archive", _archive, (_archive_seed(),), (Failure,)),
        Target("tensorfile", read_tensors, (_archive_seed(), FILES["golden.safetensors"]),
               (BadAnswer,)),
        Target("record", _record, (pack(_session()), pack_tombstone(1e9))),
        Target("sealed", _sealed, (seal(_session())[_CHECKED:],), (Damage,)),
    )  # fmt: skip


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    shared = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir=shared if shared.is_dir() else None)


def _place(name: str, data: bytes) -> Path:
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


def _manifest_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_artifact(Path(folder), MANIFEST, FILES)
        # Without its own sum, or nothing but its JSON would be tried.
        text = (Path(folder) / MANIFEST_FILE).read_bytes()
    at = text.rindex(b'"sha256"')
    return text[:at] + b'"sha256": null\n}\n'


def _manifest(data: bytes) -> None:
    Artifact.open(_place(MANIFEST_FILE, data).parent, MANIFEST.name, 1)


def _golden(data: bytes) -> None:
    path = _place("golden.safetensors", data)
    known = FileSum(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    manifest = replace(MANIFEST, files={path.name: known})
    Artifact(path.parent, 1, manifest).golden()


def _archive_seed() -> bytes:
    about = Archived(session_id="s", model="m", version=1, position=5, ttl_s=60.0, state_id="w")
    return archived(save({"state.h": np.ones((1, 2), np.float32)}), about)


def _archive(data: bytes) -> None:
    read_archive(_place("session.safetensors", data))


def _session() -> SessionRecord:
    identity = SessionIdentity(_KEY, "m", "w", 1e9, 60.0)
    one = {"x": np.ones((1, 2), np.float32)}
    replies = add_reply(add_reply(b"", 0, 1, one, one), 1, 2, one, one)
    meta = SessionMeta(identity, 1, _REVISION, 2, 1e9, replies)
    return SessionRecord(meta, bytes(16))


def _record(data: bytes) -> None:
    found = unpack(_KEY, data)
    unpack_meta(_KEY, data[: meta_end(data)])
    if isinstance(found, SessionRecord):
        unpack_replies(found.meta.replies)


def _sealed(data: bytes) -> None:
    """What stands under a checksum that is right: only chance or malice could get so far."""
    unseal_meta(_REVISION, crc32(data, crc32(_REVISION)).to_bytes(_CHECKED, "little") + data)
