"""Every setting of the service in one table: the fields of `Settings`.

A field is a flag of `carousel-serve` (`max_steps` is `--max-steps`) and an environment variable
(`CAROUSEL_MAX_STEPS`); a flag wins over the environment, and that over the default. The table in
docs/settings.md is held against the same fields.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from carousel.service.option import Bounds, Option
from carousel.service.store_address import parse_address

MIN_KEY_CHARACTERS = 16

_T = TypeVar("_T")


_ORIGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#,*@\s]+")

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


def _lanes(text: str) -> int | None:
    """The number of lanes, None for `auto`; raises ValueError."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) > _MOST_LANES:
        raise ValueError(f"{text!r} is neither auto nor a number from 0 to {_MOST_LANES}")
    return int(text)


def _origins(text: str) -> tuple[str, ...]:
    """The origins that `cors_origins` names; raises ValueError."""
    found = tuple(each.strip() for each in text.split(",") if each.strip())
    for each in found:
        if each != "*" and _ORIGIN.fullmatch(each) is None:
            raise ValueError(f"{each!r} is no origin, as https://app.example.com:8443 is one")
    return found


_ABOVE_ZERO = Bounds(low=1)
_DAY_S = 86400.0
_MOST_LANES = 256
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
        "",
        "further host names, by comma, that clients may call the service by without a key; "
        "*.SUFFIX for all below one, * for any",
    )
    cors_origins: str = _setting(
        "",
        "pages of other sites, by comma, that browsers may call the service from: "
        "https://HOST[:PORT], or * where a key is set",
        bounds=Bounds(check=_origins),
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
    lanes: str = _setting(
        "auto",
        "runs of a model that may be under way at once, each on a thread; auto: one a core where "
        "there are several; 0: one run at a time, and nothing is measured at the start",
        bounds=Bounds(check=_lanes),
    )

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
        256 * 10**6,
        "most memory for large bodies, what they become, and large answers, in progress or unread",
        bounds=_BYTES,
    )
    max_steps: int = _setting(
        10_000, "most time steps, and so rows, in one request", bounds=_ABOVE_ZERO
    )
    max_bulk_rows: int = _setting(
        16_384,
        "most sessions that one columnar request steps; it may have as many time steps as that, "
        "where max_steps is less",
        bounds=_ABOVE_ZERO,
    )
    queue_requests: int = _setting(4096, "requests that may wait, a model", bounds=_ABOVE_ZERO)
    queue_bytes: int = _setting(64 * 10**6, "bytes of input that may wait, a model", bounds=_BYTES)
    max_wait_ms: float = _setting(
        75.0,
        "a step of a session that would wait for its model for longer is refused (503), by how "
        "fast steps are answered; 0: bounded by number alone",
        bounds=Bounds(high=3_600_000),
    )
    max_run_bytes: int = _setting(
        10**9,
        "most memory that one run of a model may take, by the model's shapes: fewer rows share it, "
        "or a sequence goes in shorter pieces; one that cannot is refused",
        bounds=_BYTES,
    )
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
    def num_lanes(self) -> int | None:
        """The number that `lanes` says, None for as many as there are cores."""
        return _lanes(self.lanes)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names of `allowed_hosts`."""
        return tuple(each.strip() for each in self.allowed_hosts.split(",") if each.strip())

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return _origins(self.cors_origins)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def describe_settings(settings: Settings) -> Iterator[str]:
    """What is set and not as usual, each as its flag says it; no secret."""
    for each in options():
        value = getattr(settings, each.name)
        if value != each.default and not each.bounds.secret:
            yield f"{each.flag.removeprefix('--')} = {value}"


def describe_access(settings: Settings) -> str:
    """Whom the service answers."""
    if settings.api_key:
        return "it answers whoever sends the API key"
    if "*" in settings.host_names:
        return "without an API key, it answers by any host name"
    names = ", ".join(("addresses", "names without a dot", "*.localhost", *settings.host_names))
    return f"without an API key, it answers by these host names: {names}"


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
