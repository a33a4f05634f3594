"""The verbs that ask a running service, through its Python client."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from carousel.service.admin.archive import SUFFIX, Archived
from carousel.service.admin.connection import connect, failure_of
from carousel.service.admin.failure import Failure, Unreachable, Usage
from carousel.service.admin.identifier import check_id, is_id
from carousel.service.admin.listing import list_json, list_lines, session_json, session_lines
from carousel.service.admin.say import say, say_failure
from carousel.service.admin.transfer import Target, export_session, files_of, import_session
from carousel.service.sessions.stores.sqlite.upkeep.size import shown_bytes
from carousel_client import Client
from carousel_client.directory import MAX_PAGE
from carousel_client.errors import CarouselError, SessionExpired, SessionNotFound
from carousel_client.session_info import SessionInfo, SessionPage

_MODEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})(?:/([1-9][0-9]{0,8}))?")

Item = TypeVar("Item")


def run_remote(options: argparse.Namespace) -> int:
    """Do what the verb says; raises Failure."""
    with connect(options, os.environ) as client:
        try:
            return _VERBS[options.verb](client, options)
        except CarouselError as error:
            raise failure_of(error, client.url) from None


def list_sessions(client: Client, options: argparse.Namespace) -> int:
    """`list`."""
    pages = _pages(client, options.model, options.after, None if options.all else options.limit)
    for text in (list_json if options.json else list_lines)(pages):
        sys.stdout.write(text)
    return 0


def show_session(client: Client, options: argparse.Namespace) -> int:
    """`show`."""
    session = client.session_info(check_id(options.id))
    if options.json:
        sys.stdout.write(session_json(session) + "\n")
    else:
        sys.stdout.writelines(session_lines(session))
    return 0


def export_sessions(client: Client, options: argparse.Namespace) -> int:
    """`export`."""
    if (options.id is None) is (options.all is None):
        raise Usage("export: name one session, or a folder with --all")
    if options.all is not None:
        if options.output is not None:
            raise Usage("export: --output names one file; --all has its own folder")
        return _export_all(client, options.all, options.model)
    if options.model is not None:
        raise Usage("export: --model goes with --all")
    name = check_id(options.id)
    path = options.output if options.output is not None else Path(name + SUFFIX)
    say(_exported(export_session(client, name, path), path))
    return 0


def import_sessions(client: Client, options: argparse.Namespace) -> int:
    """`import`."""
    source, name = options.source, None if options.id is None else check_id(options.id)
    target = None if options.model is None else _target(options.model)
    if not source.is_dir():
        made = import_session(
            client, source, session_id=name, target=target, replace=options.replace
        )
        say(_imported(made, source))
        return 0
    if name is not None:
        raise Usage("import: --id names one session; a folder may hold many")

    def bring(path: Path) -> str:
        made = import_session(client, path, target=target, replace=options.replace)
        return _imported(made, path)

    return _each(client, files_of(source), bring, "imported")


def delete_sessions(client: Client, options: argparse.Namespace) -> int:
    """`delete`."""
    names = list(dict.fromkeys(check_id(each) for each in options.ids))
    if not options.yes:
        _ask(f"delete {', '.join(names)}?")

    def drop(name: str) -> str:
        client.delete_session(name)
        return f"deleted {name}"

    return _each(client, names, drop, "deleted")


def _export_all(client: Client, folder: Path, model: str | None) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder} cannot be made: {error.strerror}") from None

    def take(name: str) -> str | None:
        path = folder / (name + SUFFIX)
        try:
            return _exported(export_session(client, name, path), path)
        except (SessionNotFound, SessionExpired):
            say(f"{name} was there and is gone")
            return None

    return _each(client, _names(client, model), take, "exported")


def _pages(
    client: Client, model: str | None, after: str | None, limit: int | None
) -> Iterator[SessionPage]:
    """The list, page by page; `limit` sessions at most, all of them without."""
    while limit is None or limit > 0:
        asked = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        page = client.sessions_page(model, after=after, limit=asked)
        yield page
        if page.next is None:
            return
        after, limit = page.next, None if limit is None else limit - len(page.sessions)


def _names(client: Client, model: str | None) -> Iterator[str]:
    """The ids of all sessions, which become names of files."""
    for page in _pages(client, model, after=None, limit=None):
        for each in page.sessions:
            if not is_id(each.session_id):
                raise Unreachable(f"{client.url} lists a session whose id cannot be one")
            yield each.session_id


def _each(
    client: Client, items: Iterable[Item], act: Callable[[Item], str | None], word: str
) -> int:
    """Do all there is to do, say what came of each, and go on after a failure of one."""
    done = failed = 0
    for item in items:
        try:
            line = act(item)
        except (Failure, CarouselError) as error:
            failure = error if isinstance(error, Failure) else failure_of(error, client.url)
            if failure.ends_all:
                raise failure from None
            failed += 1
            say_failure(failure)
            continue
        if line is not None:
            done += 1
            say(line)
    say(f"{word} {done}" + (f", failed {failed}" if failed else ""))
    return Failure.exit_code if failed else 0


def _ask(question: str) -> None:
    """Go on at a yes; raises Failure otherwise."""
    if not sys.stdin.isatty():
        raise Usage("delete: nobody is there to be asked; --yes deletes without a question")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure("nothing was deleted")


def _target(text: str) -> Target:
    found = _MODEL.fullmatch(text)
    if found is None:
        raise Usage(f"--model: {text!r} is not NAME or NAME/VERSION")
    return Target(found[1], int(found[2]) if found[2] else None, forced=True)


def _exported(about: Archived, path: Path) -> str:
    size = shown_bytes(path.stat().st_size)
    return f"exported {about.session_id} at position {about.position} to {path} ({size})"


def _imported(made: SessionInfo, path: Path) -> str:
    place = f"{made.model}/{made.version} at position {made.position}"
    return f"imported {made.session_id} from {path}: {place}"


_VERBS = {
    "list": list_sessions,
    "show": show_session,
    "export": export_sessions,
    "import": import_sessions,
    "delete": delete_sessions,
}
