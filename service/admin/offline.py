"""The verbs that look after the file of a stopped service."""

import argparse
import json
import sys
from collections.abc import Iterator

from carousel.service.admin.failure import Failure
from carousel.service.admin.rewrite import rewrite
from carousel.service.admin.say import say
from carousel.service.admin.sessionfile import SessionFile, measure, open_file
from carousel.service.admin.survey import Survey, survey
from carousel.service.admin.table import shown_bytes
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.sqlite.file import FORMAT

_MAX_SHOWN = 20


def check_file(options: argparse.Namespace) -> int:
    """`check`."""
    with open_file(options.file) as file:
        found = survey(file)
        removed = options.remove_damaged and not found.is_sound
        if removed:
            rewrite(file, found)
    if options.json:
        sys.stdout.write(_json(file, found, removed=removed) + "\n")
    else:
        for line in _lines(file, found, removed=removed):
            say(line)
    return 0 if found.is_sound or removed else Failure.exit_code


def vacuum_file(options: argparse.Namespace) -> int:
    """`vacuum`."""
    with open_file(options.file) as file:
        found = survey(file)
        if not found.is_sound:
            raise Failure(f"{options.file} is damaged: carousel-sessions check says where")
        rewrite(file, found)
        before = file.sizes.file + file.sizes.log
    after = measure(options.file)
    say(
        f"{options.file}: {shown_bytes(before)} before, {shown_bytes(after.file)} now, "
        f"{found.num_sessions} sessions"
    )
    return 0


def _lines(file: SessionFile, found: Survey, *, removed: bool) -> Iterator[str]:
    yield f"file        {file.path} (format {FORMAT})"
    yield f"size        {shown_bytes(file.sizes.file)}, log {shown_bytes(file.sizes.log)}"
    yield f"sessions    {found.num_sessions} sound, {shown_bytes(found.state_bytes)} of states"
    yield f"tombstones  {found.num_tombstones}"
    yield f"structure   {_some(found.problems) or 'sound'}"
    yield f"damaged     {_some([_name(each) for each in found.damaged]) or 'none'}"
    if removed:
        yield "The file was written anew with what is sound; all other ids can be opened again."
    elif not found.is_sound:
        yield "--remove-damaged keeps what is sound, and all other ids can then be opened again."


def _some(texts: list[str]) -> str:
    """The first of many."""
    more = len(texts) - _MAX_SHOWN
    return ", ".join(texts[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _name(key: Key | None) -> str:
    return "(a session whose id is lost)" if key is None else key[1]


def _json(file: SessionFile, found: Survey, *, removed: bool) -> str:
    damaged = [
        None if each is None else {"tenant": each[0], "session_id": each[1]}
        for each in found.damaged
    ]
    return json.dumps(
        {
            "file": str(file.path),
            "format": FORMAT,
            "file_bytes": file.sizes.file,
            "log_bytes": file.sizes.log,
            "sessions": found.num_sessions,
            "state_bytes": found.state_bytes,
            "tombstones": found.num_tombstones,
            "structure": found.problems,
            "damaged": damaged,
            "removed": removed,
        }
    )
