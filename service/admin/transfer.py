"""Sessions out of a service into files, and back into this or another one."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carousel.service.admin.archive import SUFFIX, Archived, read_archive, write_archive
from carousel.service.admin.failure import Failure, Refused
from carousel.service.admin.newfile import new_file
from carousel.service.admin.sessions import Session, Sessions

# A session that is being made lives under an id of the service's. Should the tool end before it is
# done, it is gone after this.
_STAGED_S = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a state goes into; `version` None: the highest. `forced`: the operator named
    it, and it need not be the one that the state comes from.
    """

    model: str
    version: int | None
    forced: bool


def export_session(sessions: Sessions, session_id: str, path: Path) -> Archived:
    """Write a session to a file, which appears whole or not at all."""
    with new_file(path) as file:
        session = sessions.show(session_id)
        with sessions.read_state(session_id) as (position, state):
            about = Archived(
                session_id=session_id,
                model=session.model,
                version=session.version,
                position=position,
                ttl_s=_ttl_s(session),
                state_id=session.state_id,
            )
            write_archive(file, state, about)
        file.flush()
        _check_whole(Path(file.name))
    return about


def import_session(
    sessions: Sessions,
    path: Path,
    *,
    session_id: str | None = None,
    target: Target | None = None,
    replace: bool = False,
) -> Session:
    """Open a session at a file's state and position, under the file's id unless one is given.

    `replace`: if the id is taken, its session gets state and position instead.
    """
    about = read_archive(path)
    name = about.session_id if session_id is None else session_id
    target = target or Target(about.model, about.version, forced=False)
    if replace:
        there = _find(sessions, name)
        if there is not None:
            _check_same(there, target, about)
            return _write(sessions, name, path, about)
    return _open(sessions, name, path, about, target)


def files_of(folder: Path) -> list[Path]:
    """The exported sessions in a folder; raises Failure if there are none."""
    found = sorted(each for each in folder.glob(f"*{SUFFIX}") if not each.name.startswith("."))
    if not found:
        raise Failure(f"{folder} holds no file that ends in {SUFFIX}")
    return found


def _open(sessions: Sessions, name: str, path: Path, about: Archived, target: Target) -> Session:
    """Made apart and then copied: the wanted id is taken in one step or not at all."""
    try:
        staged = sessions.open(target.model, target.version, _STAGED_S)
    except Refused as error:
        if error.code == "model_not_found" and not target.forced:
            raise Failure(
                f"{error}; {path} comes from {about.model}/{about.version}: if another version "
                "has the same weights, name it with --model"
            ) from None
        raise
    try:
        _check_weights(staged, target, about)
        _write(sessions, staged.session_id, path, about)
        return sessions.fork(staged.session_id, name, about.ttl_s)
    except Refused as error:
        if error.code == "session_exists":
            raise Failure(
                f"the session {name!r} exists: --replace puts it at the file's state, "
                "--id opens another"
            ) from None
        raise
    finally:
        with suppress(Failure):
            sessions.delete(staged.session_id)


def _write(sessions: Sessions, name: str, path: Path, about: Archived) -> Session:
    try:
        with path.open("rb") as file:
            return sessions.write_state(name, file, path.stat().st_size, about.position)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None


def _find(sessions: Sessions, session_id: str) -> Session | None:
    try:
        return sessions.show(session_id)
    except Refused as error:
        if error.code in ("session_not_found", "session_expired"):
            return None
        raise


def _check_same(there: Session, target: Target, about: Archived) -> None:
    """States of another model may well have the same shapes, and would mean nothing there."""
    if not target.forced and there.state_id is not None and about.state_id is not None:
        _check_weights(there, target, about)
    elif there.model != target.model or target.version not in (None, there.version):
        wanted = target.model if target.version is None else f"{target.model}/{target.version}"
        raise Failure(
            f"the session {there.session_id!r} is on {there.model}/{there.version} and the state "
            f"is for {wanted}: delete the session first, or name its model with --model"
        )


def _check_weights(session: Session, target: Target, about: Archived) -> None:
    known = session.state_id is not None and about.state_id is not None
    if known and session.state_id != about.state_id and not target.forced:
        raise Failure(
            f"{session.model}/{session.version} has other weights than {about.model}/"
            f"{about.version}, which the state comes from; name it with --model if you mean it"
        )


def _check_whole(path: Path) -> None:
    try:
        read_archive(path)
    except Failure:
        raise Failure("the service answered a state that is not safetensors") from None


def _ttl_s(session: Session) -> float:
    """Both times were cut to milliseconds: what is less than that is not in their difference."""
    times = [datetime.fromisoformat(each) for each in (session.last_used_at, session.expires_at)]
    return round((times[1] - times[0]).total_seconds(), 2)
