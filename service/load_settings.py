"""Where settings come from: flags, environment, files of secrets; and what is wrong together."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from carousel.service.errors import SettingError
from carousel.service.flags import make_parser
from carousel.service.option import PREFIX, Value
from carousel.service.settings import MIN_KEY_CHARACTERS, Settings, options
from carousel.service.store_address import parse_address

# What Kubernetes puts into every container's environment for a Service that is named `carousel`.
_SERVICE_LINK = re.compile(PREFIX + r"(SERVICE_(HOST|PORT\w*)|PORT_[0-9]+_\w+)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp)://.*")


def load_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings that flags and environment give; raises SettingError, naming the one at fault.

    `--help`, `--version` and unknown flags end the process, as argparse does it.
    """
    flags = vars(make_parser(options()).parse_args(arguments))
    values: dict[str, Value] = {}
    for each in options():
        given = flags.get(each.name)
        variable = environ.get(each.variable)
        if given is not None:
            given = ",".join(given) if each.bounds.repeated else given
            values[each.name] = given if each.kind is bool else each.parse(given, each.flag)
        elif variable is not None and not _SERVICE_LINK_VALUE.fullmatch(variable):
            values[each.name] = each.parse(variable, each.variable)
    _take_key(values)
    _take_password(values)
    settings = Settings(**values)  # type: ignore[arg-type]  # typed by each field's kind
    _check(settings)
    return settings


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that begins like a setting and is none: most likely a slip."""
    known = [each.variable for each in options()]
    # carousel-sessions is told by it where the service is.
    known.append(PREFIX + "URL")
    lines: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or _SERVICE_LINK.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        lines.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _take_file(values: dict[str, Value], name: str) -> str:
    """Read a secret from its file, if it is said to be in one; the name of where it came from."""
    source, file = PREFIX + name.upper(), values.get(name + "_file")
    if not file:
        return source
    if name in values:
        raise SettingError(source, f"set together with {source}_FILE: keep one of them")
    source += "_FILE"
    try:
        values[name] = Path(str(file)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingError(source, f"{file} cannot be read as text") from None
    return source


def _take_key(values: dict[str, Value]) -> None:
    source = _take_file(values, "api_key")
    key = str(values.get("api_key", "x" * MIN_KEY_CHARACTERS))
    if len(key) < MIN_KEY_CHARACTERS or not all("!" <= letter <= "~" for letter in key):
        raise SettingError(
            source,
            f"a key is {MIN_KEY_CHARACTERS} or more visible ASCII characters; "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
        )


def _take_password(values: dict[str, Value]) -> None:
    """The password from its file or out of the address, which is logged."""
    source = _take_file(values, "redis_password")
    if source.endswith("_FILE") and not values["redis_password"]:
        raise SettingError(source, f"{values['redis_password_file']} holds no password")
    address = parse_address(str(values["store"])) if "store" in values else None
    if address is not None and address.password:
        if values.get("redis_password"):
            raise SettingError(source, f"set besides one in {PREFIX}STORE: keep one of them")
        values["redis_password"] = address.password
        values["store"] = str(address)


def _check(settings: Settings) -> None:
    if not settings.is_loopback and not settings.api_key and not settings.insecure:
        raise SettingError(
            PREFIX + "HOST",
            f"{settings.host} can be reached from other machines, and there is no API key: "
            f"set {PREFIX}API_KEY, or say --insecure if something else guards the service",
        )
    if "*" in settings.origins and not settings.api_key:
        raise SettingError(
            PREFIX + "CORS_ORIGINS",
            "* without an API key would open the service to any page in a browser on this machine: "
            "name the origins, or set a key",
        )
    if settings.ttl_s > settings.max_ttl_s:
        raise SettingError(
            PREFIX + "TTL_S",
            f"{settings.ttl_s:g} is above {PREFIX}MAX_TTL_S, {settings.max_ttl_s:g}",
        )
