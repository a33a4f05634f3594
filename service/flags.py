"""The command line of `carousel-serve`, made of the settings' table."""

import argparse
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from carousel.service.option import PREFIX, Option


def make_parser(options: Iterable[Option]) -> argparse.ArgumentParser:
    """A parser with a flag for each option that is no secret; absent flags are None."""
    parser = argparse.ArgumentParser(
        prog="carousel-serve",
        description="Serves the models of a repository over HTTP, with their hidden state.",
        epilog=f"Each flag is also a variable: --max-steps is {PREFIX}MAX_STEPS, and a flag wins. "
        f"Secrets are a variable only, {PREFIX}API_KEY and {PREFIX}REDIS_PASSWORD, or a file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"carousel-serve {_version()}")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for each in options:
        if not each.flag:
            continue
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        _add(groups[each.group], each)
    return parser


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    default = f" (default: {option.shown_default})" if option.shown_default else ""
    text = option.meaning + default
    if option.kind is bool:
        action = argparse.BooleanOptionalAction
        group.add_argument(option.flag, action=action, default=None, help=text)
        return
    metavar = "|".join(option.bounds.choices) or option.name.rsplit("_", 1)[-1].upper()
    if option.bounds.repeated:
        group.add_argument(option.flag, action="append", metavar=metavar, help=text)
    else:
        group.add_argument(option.flag, metavar=metavar, help=text)


def _version() -> str:
    try:
        return version("carousel-serving")
    except PackageNotFoundError:
        return "(from a checkout)"
