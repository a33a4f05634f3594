"""The command line of `carousel-bench`."""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from carousel_bench.failure import Failure
from carousel_bench.settings import KINDS, Settings

# Above this one process would draw arrivals and do nothing else.
_MAX_RATE = 1_000_000
_MAX_SESSIONS = 10_000
_MAX_SECONDS = 86_400

_DESCRIPTION = """\
Measures what a running Carousel server can take. It makes random inputs that fit the model, opens
sessions, sends requests, deletes the sessions, and prints a table. Without flags it takes about a
minute and finds three things: how long a request takes when nobody else asks, how many requests a
second the server does at most, and the knee: how many it does while 99 of 100 are still quick.

It is a load: do not point it at a server that others need just now.
"""

_EPILOG = """\
kinds of request, for --mix:
  step      the next time step of a session
  sequence  a whole sequence, without a session
  bulk      the next time step of many sessions in one request (JSON)
  stream    as step, over the session's WebSocket

what the columns mean:
  p99 ms    99 of 100 requests took no longer than this, 1 in 100 longer; >: at least this
  steps/s   time steps, of all sessions together
  delayed   of an open loop: sent later than they were due, which is part of their times
  unsent    of an open loop: due, and still not sent a second after the end
  refused   the server answered no, for example 429 or 503; not part of the times
  errors    no answer, or a broken connection

closed and open:
  In a closed loop each session sends its next request when it has the reply to the last. When the
  server is slow, less is sent: it shows the most that can be had, and not how long users wait.
  In an open loop requests are due at a rate, as of users who do not know of each other (a Poisson
  process). A request's time counts from when it was due, also if it had to wait to be sent.

variables:
  CAROUSEL_API_KEY       the server's key, or CAROUSEL_API_KEY_FILE, a file that holds it
  SSL_CERT_FILE          certificates to trust, for https

exit codes:
  0  done                         2    wrong usage
  1  could not; a sentence why    130  Ctrl-C, after the sessions were deleted

examples:
  carousel-bench http://127.0.0.1:8000
  carousel-bench http://127.0.0.1:8000 --model forecaster --html report.html
  carousel-bench http://127.0.0.1:8000 --rate 500,1000,2000 --seconds 30
  carousel-bench http://127.0.0.1:8000 --closed --sessions 200 --mix step=8,sequence=1
"""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where reports go beside the table; `json` of `-` is the standard output, in its place."""

    json: str | None
    html: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A command line, read."""

    settings: Settings
    outputs: Outputs


def read(arguments: list[str] | None, environ: Mapping[str, str]) -> Asked:
    """What is asked for; leaves with exit code 2 on wrong usage, raises Failure for a bad key."""
    given = make_parser().parse_args(arguments)
    settings = Settings(
        url=given.url,
        api_key=_key(environ),
        model=given.model,
        mix=given.mix or {},
        is_json=given.encoding == "json",
        steps=given.steps,
        length=given.length,
        rows=given.rows,
        sessions=given.sessions,
        rates=given.rate or (),
        closed_only=given.closed,
        p99_ms=given.p99,
        seconds=given.seconds,
        warmup_s=given.warmup,
        ttl_s=given.ttl,
        processes=given.processes,
        seed=given.seed,
    )
    return Asked(settings, Outputs(given.json, given.html, given.quiet))


def make_parser() -> argparse.ArgumentParser:
    """The parser, with its help."""
    parser = argparse.ArgumentParser(
        prog="carousel-bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"carousel-bench {_version()}")
    parser.add_argument("url", metavar="URL", help="the server, such as http://127.0.0.1:8000")
    _add_requests(parser.add_argument_group("what is sent"))
    _add_load(parser.add_argument_group("how much of it"))
    _add_reports(parser.add_argument_group("what comes out"))
    return parser


def _add_requests(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--model", metavar="NAME", help="which model (default: the first with sessions)"
    )
    group.add_argument(
        "--mix", type=_mix, metavar="KIND[=W],...",
        help=f"kinds of request ({', '.join(KINDS)}), several with a weight each, as "
        "step=8,sequence=1 (default: step, or sequence where the model has no sessions)",
    )  # fmt: skip
    group.add_argument(
        "--encoding",
        choices=("binary", "json"),
        default="binary",
        help="of bodies (default: binary)",
    )
    group.add_argument(
        "--steps", type=_whole(1), metavar="T", default=1,
        help="time steps in a step or stream message (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--length", type=_whole(1), metavar="T", default=64,
        help="time steps in a sequence (default: 64)",
    )  # fmt: skip
    group.add_argument(
        "--rows", type=_whole(1, 1000), metavar="B", default=32,
        help="sessions in a bulk request (default: 32)",
    )  # fmt: skip


def _add_load(group: "argparse._ArgumentGroup") -> None:
    loop = group.add_mutually_exclusive_group()
    loop.add_argument("--closed", action="store_true", help="one closed loop, and no more")
    loop.add_argument(
        "--rate", type=_rates, metavar="R[,R...]",
        help="an open loop at each of these rates, requests/s, and no more",
    )  # fmt: skip
    group.add_argument(
        "--sessions", type=_whole(1, _MAX_SESSIONS), metavar="N", default=64,
        help="sessions, each with a connection of its own: the most requests that are under way at "
        "a time (default: 64)",
    )  # fmt: skip
    group.add_argument(
        "--p99", type=_above_zero, metavar="MS",
        help="what the knee keeps p99 under (default: 50, or five times that of a session alone)",
    )  # fmt: skip
    group.add_argument(
        "--seconds", type=_whole(1, _MAX_SECONDS), metavar="S", default=6,
        help="how long a loop is measured; each try for the knee takes half of it (default: 6)",
    )  # fmt: skip
    group.add_argument(
        "--warmup", type=_whole(0, _MAX_SECONDS), metavar="S", default=1,
        help="how long before it is measured (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--ttl", type=_whole(1, _MAX_SECONDS * 30), metavar="S", default=1800,
        help="how long sessions stay after their last step, if not deleted (default: 1800)",
    )  # fmt: skip
    group.add_argument(
        "--processes", type=_processes, metavar="N", default=0,
        help="processes that make the load; auto: half of the cores, 4 at most (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=_whole(0), metavar="N", default=0, help="of inputs and arrivals (default: 0)"
    )


def _add_reports(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--json", metavar="FILE", help="all numbers; -: to standard output")
    group.add_argument("--html", type=Path, metavar="FILE", help="a page with plots")
    group.add_argument("--quiet", action="store_true", help="no progress")


def _whole(low: int, high: int | None = None) -> Callable[[str], int]:
    def read_whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            most = "or more" if high is None else f"to {high:,}"
            raise argparse.ArgumentTypeError(
                f"{text!r} given; expected a whole number, {low} {most}"
            )
        return value

    return read_whole


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} given; expected a number above 0")
    return value


def _rates(text: str) -> tuple[float, ...]:
    rates = tuple(_above_zero(each) for each in text.split(","))
    if max(rates) > _MAX_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} given; expected {_MAX_RATE:,} at most")
    return rates


def _processes(text: str) -> int:
    return 0 if text == "auto" else _whole(1, 64)(text)


def _mix(text: str) -> dict[str, float]:
    mix: dict[str, float] = {}
    for part in text.split(","):
        kind, _, weight = part.strip().partition("=")
        if kind not in KINDS or kind in mix:
            raise argparse.ArgumentTypeError(
                f"{kind!r} given; expected each once of {', '.join(KINDS)}"
            )
        mix[kind] = _above_zero(weight) if weight else 1.0
    return mix


def _key(environ: Mapping[str, str]) -> str | None:
    key, file = environ.get("CAROUSEL_API_KEY", ""), environ.get("CAROUSEL_API_KEY_FILE", "")
    if not key and file:
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise Failure(f"CAROUSEL_API_KEY_FILE: {file} cannot be read as text") from None
    if not all("!" <= letter <= "~" for letter in key):
        raise Failure("CAROUSEL_API_KEY: a key is made of visible ASCII characters")
    return key or None


def _version() -> str:
    try:
        return version("carousel-client")
    except PackageNotFoundError:
        return "of a checkout"
