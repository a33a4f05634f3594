"""The verbs that look after session files: of a stopped service, or a copy of a running one's."""

import argparse
import json
import sys
from collections.abc import Iterator

from carousel.service.admin.failure import Failure
from carousel.service.admin.say import say
from carousel.service.sessions.stores.sqlite.file import FORMAT
from carousel.service.sessions.stores.sqlite.upkeep.backup import back_up
from carousel.service.sessions.stores.sqlite.upkeep.rewrite import rewrite
from carousel.service.sessions.stores.sqlite.upkeep.size import shown_bytes
from carousel.service.sessions.stores.sqlite.upkeep.stopped import StoppedFile, measure, open_file
from carousel.service.sessions.stores.sqlite.upkeep.survey import Survey, some_of, survey
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble

_MAX_SHOWN = 20
# The check of a copy reads everything, and is in no hurry: the steps of a service come first.
_NICE = 10


def run_offline(options: argparse.Namespace) -> int:
    """Do what the verb says; raises Failure."""
    try:
        return _VERBS[options.verb](options)
    except Trouble as trouble:
        raise Failure(str(trouble)) from None


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


def back_up_file(options: argparse.Namespace) -> int:
    """`backup`."""
    made = back_up(options.file, options.dest, replace=options.replace, nice=_NICE)
    say(
        f"backed up {options.file} to {options.dest}: {made.num_sessions} sessions, "
        f"{shown_bytes(made.num_bytes)}"
    )
    return 0


def _lines(file: StoppedFile, found: Survey, *, removed: bool) -> Iterator[str]:
    yield f"file        {file.path} (format {FORMAT})"
    yield f"size        {shown_bytes(file.sizes.file)}, log {shown_bytes(file.sizes.log)}"
    yield f"sessions    {found.num_sessions} sound, {shown_bytes(found.state_bytes)} of states"
    yield f"tombstones  {found.num_tombstones}"
    yield f"structure   {some_of(found.problems, _MAX_SHOWN) or 'sound'}"
    yield f"damaged     {some_of(found.damaged_names, _MAX_SHOWN) or 'none'}"
    if found.log_problem is not None:
        yield f"log         {found.log_problem}"
    if removed:
        yield "The file was written anew with what is sound; all other ids can be opened again."
    elif not found.is_sound:
        yield "--remove-damaged keeps what is sound, and all other ids can then be opened again."


def _json(file: StoppedFile, found: Survey, *, removed: bool) -> str:
    damaged = [
        None if each is None else {"tenant": each[0], "session_id": each[1]}
        for each in found.damaged
    ]
    said = {
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
    lost = {} if found.log_problem is None else {"log_problem": found.log_problem}
    return json.dumps(said | lost)


_VERBS = {"check": check_file, "vacuum": vacuum_file, "backup": back_up_file}
