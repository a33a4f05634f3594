"""Sessions out of a service into files, and back into this or another one."""

from dataclasses import dataclass
from pathlib import Path

from carousel.service.admin.archive import SUFFIX, Archived, archived, read_archive
from carousel.service.admin.connection import failure_of
from carousel.service.admin.failure import Failure
from carousel.service.admin.newfile import new_file
from carousel_client import Client
from carousel_client.errors import ModelNotFound, SessionExists, SessionExpired, SessionNotFound
from carousel_client.session_info import SessionInfo
from carousel_client.session_state import SessionState

# A session that is being made lives under an id of its own. Should the tool end before it is done,
# it is gone after this.
_STAGED_S = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a state goes into; `version` None: the highest. `forced`: the operator named
    it, and it need not be the one that the state comes from.
    """

    model: str
    version: int | None
    forced: bool


def export_session(client: Client, session_id: str, path: Path) -> Archived:
    """Write a session to a file, which appears whole or not at all."""
    with new_file(path) as file:
        session = client.session_info(session_id)
        state = client.session_state(session_id)
        about = Archived(
            session_id=session_id,
            model=session.model,
            version=session.version,
            position=state.position,
            ttl_s=_ttl_s(session),
            state_id=session.state_id,
        )
        file.write(archived(state.content, about))
    return about


def import_session(
    client: Client,
    path: Path,
    *,
    session_id: str | None = None,
    target: Target | None = None,
    replace: bool = False,
) -> SessionInfo:
    """Open a session at a file's state and position, under the file's id unless one is given.

    `replace`: if the id is taken, its session gets state and position instead.
    """
    about = read_archive(path)
    try:
        state = SessionState(path.read_bytes(), about.position)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None
    name = about.session_id if session_id is None else session_id
    target = target or Target(about.model, about.version, forced=False)
    if replace:
        there = _find(client, name)
        if there is not None:
            _check_same(there, target, about)
            return client.set_session_state(name, state)
    try:
        return _open(client, name, about, state, target)
    except ModelNotFound as error:
        if target.forced:
            raise
        raise Failure(
            f"{failure_of(error, client.url)}; {path} comes from {about.model}/{about.version}: "
            "if another version has the same weights, name it with --model"
        ) from None
    except SessionExists:
        raise Failure(
            f"the session {name!r} exists: --replace puts it at the file's state, "
            "--id opens another"
        ) from None


def files_of(folder: Path) -> list[Path]:
    """The exported sessions in a folder; raises Failure if there are none."""
    found = sorted(each for each in folder.glob(f"*{SUFFIX}") if not each.name.startswith("."))
    if not found:
        raise Failure(f"{folder} holds no file that ends in {SUFFIX}")
    return found


def _open(
    client: Client, name: str, about: Archived, state: SessionState, target: Target
) -> SessionInfo:
    """Made apart and then copied: the wanted id is taken in one step or not at all."""
    with client.session(target.model, version=target.version, ttl_s=_STAGED_S) as staged:
        _check_weights(staged.info(), target, about)
        client.set_session_state(staged.id, state)
        return staged.fork(name, ttl_s=about.ttl_s).info()


def _find(client: Client, session_id: str) -> SessionInfo | None:
    try:
        return client.session_info(session_id)
    except (SessionNotFound, SessionExpired):
        return None


def _check_same(there: SessionInfo, target: Target, about: Archived) -> None:
    """States of another model may well have the same shapes, and would mean nothing there."""
    if not target.forced and there.state_id is not None and about.state_id is not None:
        _check_weights(there, target, about)
    elif there.model != target.model or target.version not in (None, there.version):
        wanted = target.model if target.version is None else f"{target.model}/{target.version}"
        raise Failure(
            f"the session {there.session_id!r} is on {there.model}/{there.version} and the state "
            f"is for {wanted}: delete the session first, or name its model with --model"
        )


def _check_weights(session: SessionInfo, target: Target, about: Archived) -> None:
    known = session.state_id is not None and about.state_id is not None
    if known and session.state_id != about.state_id and not target.forced:
        raise Failure(
            f"{session.model}/{session.version} has other weights than {about.model}/"
            f"{about.version}, which the state comes from; name it with --model if you mean it"
        )


def _ttl_s(session: SessionInfo) -> float:
    """Both times were cut to milliseconds: what is less than that is not in their difference."""
    return round((session.expires_at - session.last_used_at).total_seconds(), 2)
