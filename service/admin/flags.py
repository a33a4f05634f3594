"""The command line of `carousel-sessions`."""

import argparse
import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"
# Above the deadline of the service, 30 s by default, so that its own answer comes first.
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_LIMIT = 100

_EPILOG = """\
variables:
  CAROUSEL_URL           the service's address, as --url
  CAROUSEL_API_KEY       its key, or CAROUSEL_API_KEY_FILE, a file that holds it

exit codes:
  0  done              2  wrong usage
  1  refused, not      3  the service cannot be reached
     found, damaged    130  interrupted

examples:
  carousel-sessions list --model forecaster
  carousel-sessions export pump-7
  carousel-sessions export --all backup
  carousel-sessions import backup --url http://other-host:8000
  carousel-sessions backup data/sessions.sqlite copies/monday.sqlite
  carousel-sessions check data/sessions.sqlite
"""

_EXPORT = """\
A file holds a session's state as safetensors, with its position, model, version and time to live in
the metadata. It appears whole or not at all. Recorded replies stay behind: a step that was sent
before and not answered cannot be replayed from it.
"""

_IMPORT = """\
Opens a session at the state and position of a file, or of every file in a folder. Its time to live
begins anew. Ids that begin with v2. are the service's own: their sessions can be written with
--replace, not opened.
"""

_BACKUP = """\
Copies an SQLite file, also while a service is using it: with all that was answered before it began,
checked, and there whole or not at all. A plain copy of such a file lacks what is in its log.
"""

_Verbs = argparse._SubParsersAction  # the only name that argparse has for it


def make_parser() -> argparse.ArgumentParser:
    """A parser whose result says `verb`; flags of the connection may stand before or after it."""
    parser = argparse.ArgumentParser(
        prog="carousel-sessions",
        description="Looks after the sessions of a running Carousel, and after its session file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"carousel-sessions {_version()}")
    _add_connection(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    _add_list(verbs)
    _add_show(verbs)
    _add_export(verbs)
    _add_import(verbs)
    _add_delete(verbs)
    _add_check(verbs)
    _add_vacuum(verbs)
    _add_backup(verbs)
    return parser


def _add_list(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = _add_verb(verbs, "list", "list live sessions, in order of id")
    parser.add_argument("--model", metavar="NAME", help="those of one model")
    parser.add_argument("--after", metavar="ID", help="those that follow an id")
    many = parser.add_mutually_exclusive_group()
    many.add_argument(
        "--limit",
        type=_count,
        metavar="N",
        default=DEFAULT_LIMIT,
        help=f"at most so many (default: {DEFAULT_LIMIT})",
    )
    many.add_argument("--all", action="store_true", help="all of them")
    _add_json(parser)


def _add_show(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = _add_verb(verbs, "show", "show where a session stands")
    parser.add_argument("id", metavar="ID")
    _add_json(parser)


def _add_export(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = _add_verb(verbs, "export", "write sessions to files", _EXPORT)
    parser.add_argument("id", metavar="ID", nargs="?")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the file to write (default: ID.safetensors)"
    )
    parser.add_argument(
        "--all", type=Path, metavar="DIR", help="write every session into a folder, a file each"
    )
    parser.add_argument("--model", metavar="NAME", help="with --all: those of one model")


def _add_import(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = _add_verb(verbs, "import", "open sessions at the state of exported files", _IMPORT)
    parser.add_argument("source", type=Path, metavar="FILE|DIR")
    parser.add_argument("--id", metavar="NEW", help="another id than the file's")
    parser.add_argument(
        "--model",
        metavar="NAME[/VERSION]",
        help="another model than the file's, whatever its weights; its highest version unless said",
    )
    parser.add_argument(
        "--replace", action="store_true", help="put a session that exists at the file's state"
    )


def _add_delete(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = _add_verb(verbs, "delete", "delete sessions")
    parser.add_argument("ids", metavar="ID", nargs="+")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_check(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "check",
        help="check a session file, with the service stopped",
        description="Reads every session of an SQLite file that no service is using.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=_file, metavar="FILE")
    parser.add_argument(
        "--remove-damaged",
        action="store_true",
        help="delete the damaged sessions, so that their ids can be opened again",
    )
    _add_json(parser)


def _add_vacuum(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "vacuum",
        help="give a session file's free space back, with the service stopped",
        description="Rewrites an SQLite file that no service is using, as small as it can be.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=_file, metavar="FILE")


def _add_backup(verbs: "_Verbs[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "backup",
        help="copy a session file, also while a service is using it",
        description=_BACKUP,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=_file, metavar="FILE")
    parser.add_argument("dest", type=_file, metavar="DEST")
    parser.add_argument("--replace", action="store_true", help="put the copy in DEST's place")


def _add_verb(
    verbs: "_Verbs[argparse.ArgumentParser]", name: str, text: str, more: str = ""
) -> argparse.ArgumentParser:
    """A verb that asks a running service."""
    parser = verbs.add_parser(
        name, help=text, description=more or f"{text.capitalize()}.", allow_abbrev=False
    )
    # Absent unless given, so that what stood before the verb counts.
    _add_connection(parser, argument_default=argparse.SUPPRESS)
    return parser


def _add_connection(parser: argparse.ArgumentParser, argument_default: str | None = None) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--url",
        default=argument_default,
        help=f"the service's address (default: $CAROUSEL_URL, else {DEFAULT_URL})",
    )
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        default=argument_default,
        help="file that holds the API key; the key itself is never a flag, but $CAROUSEL_API_KEY",
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        default=argument_default,
        help=f"longest wait for the network (default: {DEFAULT_TIMEOUT_S:g})",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def _file(text: str) -> Path:
    if "://" in text:
        # Not said again: there may be a password in it.
        raise argparse.ArgumentTypeError(
            "this is an address; name the file of an SQLite store (Redis has copies of its own)"
        )
    return Path(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text[:18])


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.001 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0.001 to 86400")
    return value


def _version() -> str:
    try:
        return version("carousel-serving")
    except PackageNotFoundError:
        return "(from a checkout)"
