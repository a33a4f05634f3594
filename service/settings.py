"""Every setting of the service in one table: the fields of `Settings`.

A field is a flag of `carousel-serve` (`max_steps` is `--max-steps`) and an environment variable
(`CAROUSEL_MAX_STEPS`); a flag wins over the environment, and that over the default. The table in
docs/settings.md is held against the same fields.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from carousel.service.errors import SettingError
from carousel.service.flags import make_parser
from carousel.service.option import PREFIX, Bounds, Option, Value
from carousel.service.store_address import parse_address

MIN_KEY_CHARACTERS = 16

_T = TypeVar("_T")

# What Kubernetes puts into every container's environment for a Service that is named `carousel`.
_SERVICE_LINK = re.compile(PREFIX + r"(SERVICE_(HOST|PORT\w*)|PORT_[0-9]+_\w+)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp)://.*")

_MODEL_STORE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=memory")


def _setting(default: _T, meaning: str, group: str = "", bounds: Bounds = Bounds()) -> _T:  # noqa: B008, frozen
    """A field of Settings; `group` opens a group of `--help` and of the table in the docs."""
    metadata = {"meaning": meaning, "group": group, "bounds": bounds}
    return field(default=default, metadata=metadata, repr=not bounds.secret)


def _memory_models(text: str) -> frozenset[str]:
    """The models that `model_store` names; raises ValueError."""
    pieces = [each.strip() for each in text.split(",") if each.strip()]
    found = {each: _MODEL_STORE.fullmatch(each) for each in pieces}
    wrong = [each for each, match in found.items() if match is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not NAME=memory, with the name of a model")
    return frozenset(match[1] for match in found.values() if match is not None)


_ABOVE_ZERO = Bounds(low=1)
_DAY_S = 86400.0
_CENTURY_S = 36525 * _DAY_S
_BYTES = Bounds(low=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service was told at its start; nothing reads the environment after that."""

    host: str = _setting("127.0.0.1", "address to listen on", "Listening")
    port: int = _setting(8000, "port to listen on; 0 takes a free one", bounds=Bounds(high=65535))
    api_key: str = _setting(
        "",
        f"bearer token that clients send; {MIN_KEY_CHARACTERS} characters or more",
        bounds=Bounds(secret=True),
    )
    api_key_file: str = _setting("", "file that holds the key, as containers mount secrets")
    insecure: bool = _setting(False, "listen beyond loopback without an API key")
    allowed_hosts: str = _setting(
        "", "further host names, by comma, that clients may call the service by without a key"
    )
    keep_alive_s: float = _setting(
        75.0, "idle connections are closed after this", bounds=Bounds(low=1, high=_DAY_S)
    )

    model_repository: Path = _setting(  # noqa: RUF009, what it returns is a dataclass field
        Path("model-repository"), "folder of the models, as carousel-export writes it", "Models"
    )
    device: Literal["cpu", "cuda", "auto"] = _setting(
        "cpu", "where models run", bounds=Bounds(choices=("cpu", "cuda", "auto"))
    )
    program: Literal["onnx", "torchscript", "auto"] = _setting(
        "auto",
        "which program of an artifact runs; auto: onnx on the CPU, torchscript on CUDA",
        bounds=Bounds(choices=("onnx", "torchscript", "auto")),
    )
    threads: int = _setting(1, "threads that one run of a model may use", bounds=_ABOVE_ZERO)

    store: str = _setting(
        "sqlite",
        "where sessions are kept: memory, sqlite, sqlite:PATH, redis://HOST:PORT/DB, rediss://..., "
        "unix:///SOCKET",
        "Sessions",
        Bounds(check=parse_address),
    )
    data_dir: Path = _setting(  # noqa: RUF009, what it returns is a dataclass field
        Path("data"), "folder of sessions.sqlite"
    )
    durability: Literal["process", "disk"] = _setting(
        "process",
        "what a step in sqlite survives: a crash of the process, or a power cut too",
        bounds=Bounds(choices=("process", "disk")),
    )
    model_store: str = _setting(
        "",
        "models whose sessions stay in memory: NAME=memory, several by comma or flag",
        bounds=Bounds(check=_memory_models, repeated=True),
    )
    redis_password: str = _setting("", "password of the Redis server", bounds=Bounds(secret=True))
    redis_password_file: str = _setting("", "file that holds the password")
    redis_unsafe: bool = _setting(False, "use a Redis that may lose or evict sessions")
    ttl_s: float = _setting(
        3600.0, "sessions that say no other expire when idle for this long", bounds=_ABOVE_ZERO
    )
    max_ttl_s: float = _setting(
        30 * _DAY_S,
        "longest time to live a session may ask for",
        bounds=Bounds(low=1, high=_CENTURY_S),
    )
    tombstone_s: float = _setting(
        _DAY_S,
        "how long an expired session answers 410, before 404",
        bounds=Bounds(high=_CENTURY_S),
    )
    store_bytes: int = _setting(
        10**9,
        "size of the memory store; beyond it 429 session_limit, and only a step's last reply is "
        "recorded, up to 4 KiB",
        bounds=_BYTES,
    )
    pool_bytes: int = _setting(
        256 * 10**6, "most memory for resident sessions, a model", bounds=_BYTES
    )
    resident_sessions: int = _setting(
        16_384,
        "most sessions in memory, a model; the others wait in the store, and a step brings them in",
        bounds=Bounds(low=2),
    )

    max_body_bytes: int = _setting(16 * 10**6, "largest request body", "Limits", _ABOVE_ZERO)
    max_held_bytes: int = _setting(
        256 * 10**6, "most memory for large bodies and messages in progress", bounds=_BYTES
    )
    max_steps: int = _setting(10_000, "most time steps in one request", bounds=_ABOVE_ZERO)
    queue_requests: int = _setting(4096, "requests that may wait, a model", bounds=_ABOVE_ZERO)
    queue_bytes: int = _setting(64 * 10**6, "bytes of input that may wait, a model", bounds=_BYTES)
    deadline_s: float = _setting(
        30.0,
        "a request that has not started by then gets 504",
        bounds=Bounds(low=0.001, high=3600),
    )
    chunk_ms: float = _setting(
        5.0,
        "time budget of one run; longer sequences go in chunks",
        bounds=Bounds(low=0.1, high=10_000),
    )

    drain_delay_s: float = _setting(
        0.0,
        "after SIGTERM, go on for this long while /readyz says no",
        "Operation",
        Bounds(high=_DAY_S),
    )
    drain_timeout_s: float = _setting(
        30.0,
        "after that, wait this long at most for accepted requests",
        bounds=Bounds(high=_DAY_S),
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        "least severe messages that are logged",
        bounds=Bounds(choices=("debug", "info", "warning", "error")),
    )
    print_curl: bool = _setting(True, "print two curl lines at the start")

    @property
    def memory_models(self) -> frozenset[str]:
        """The models of `model_store`."""
        return _memory_models(self.model_store)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names of `allowed_hosts`."""
        return tuple(each.strip() for each in self.allowed_hosts.split(",") if each.strip())

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def options() -> Iterator[Option]:
    """The table: every setting, in the order of `--help`."""
    group = ""
    for each in fields(Settings):
        assert each.default is not MISSING, f"{each.name} has no default"
        group = each.metadata["group"] or group
        yield Option(
            name=each.name,
            default=each.default,
            meaning=each.metadata["meaning"],
            group=group,
            bounds=each.metadata["bounds"],
        )


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
    if settings.ttl_s > settings.max_ttl_s:
        raise SettingError(
            PREFIX + "TTL_S",
            f"{settings.ttl_s:g} is above {PREFIX}MAX_TTL_S, {settings.max_ttl_s:g}",
        )
