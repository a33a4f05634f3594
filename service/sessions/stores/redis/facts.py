"""What a Redis server is and promises, found out at the start, and whether that will do."""

from collections.abc import Iterator
from dataclasses import dataclass

from redis.exceptions import ResponseError

from carousel.service.sessions.stores.redis.link import Command, RedisLink

_OLDEST = (6, 2)
_SETTINGS = (b"appendonly", b"appendfsync", b"maxmemory-policy")

# With everysec Redis answers before it writes to its file, while the sync before takes its time: a
# kill of the process alone can lose steps as well.
_LEVELS = {
    "always": "a step that was answered survives a power loss of Redis' machine",
    "everysec": "up to 2 s of steps are at risk if Redis or its machine fails",
    "no": "what its machine has not yet written by itself is at risk if that machine fails",
    "": "how much is at risk if Redis or its machine fails could not be found out (CONFIG is "
    "forbidden)",
}


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """As the server says; None and "" for what it does not say."""

    version: str
    is_valkey: bool
    is_cluster: bool
    is_replica: bool
    num_replicas: int
    appendonly: bool | None
    appendfsync: str
    policy: str

    def refusals(self) -> Iterator[str]:
        """Why the server cannot be used at all."""
        numbers = tuple(int(part) for part in self.version.split(".")[:2] if part.isdigit())
        if numbers and numbers < _OLDEST and not self.is_valkey:
            yield f"is Redis {self.version}; expected 6.2 or newer, or Valkey"
        if self.is_cluster:
            yield "runs in cluster mode; expected a single server (cluster-enabled no)"
        if self.is_replica:
            yield "is a replica, which takes no writes; expected its primary's address"

    def dangers(self) -> Iterator[str]:
        """How sessions would be lost, and which setting mends it."""
        if self.appendonly is False:
            yield (
                "keeps no append-only file, so that its restart may lose sessions: run CONFIG SET "
                "appendonly yes and set `appendonly yes` in redis.conf"
            )
        if self.policy not in ("", "noeviction"):
            yield (
                f"may evict sessions (maxmemory-policy {self.policy}): run CONFIG SET "
                "maxmemory-policy noeviction and set it in redis.conf"
            )

    def promises(self) -> Iterator[str]:
        """What a step that was answered survives, and what it does not."""
        if not self.version:
            yield "its version could not be found out (INFO is forbidden)"
        if self.appendonly is None:
            yield "whether it keeps an append-only file could not be found out (INFO is forbidden)"
        elif self.appendonly:
            level = _LEVELS.get(self.appendfsync, _LEVELS[""])
            yield f"appendfsync {self.appendfsync or 'unknown'}: {level}"
        if not self.policy:
            yield "whether it evicts sessions could not be found out (INFO is forbidden)"
        if self.num_replicas:
            yield (
                f"{self.num_replicas} connected replicas: a failover to one of them may lose what "
                "had not reached it"
            )


def read_facts(link: RedisLink) -> RedisFacts:
    """Ask the server; raises what the library does. CONFIG is forbidden on managed services, and
    INFO has most of it.
    """
    commands: list[Command] = [(b"INFO",)]
    commands += [(b"CONFIG", b"GET", name) for name in _SETTINGS]
    info_reply, *config_replies = link.send(commands)
    info = _parse_info(info_reply)
    config = {
        name.decode(): _setting(reply)
        for name, reply in zip(_SETTINGS, config_replies, strict=True)
    }
    aof = config["appendonly"] or {"1": "yes", "0": "no"}.get(info.get("aof_enabled", ""), "")
    return RedisFacts(
        version=info.get("redis_version", ""),
        is_valkey="valkey_version" in info or info.get("server_name") == "valkey",
        is_cluster=info.get("cluster_enabled") == "1",
        is_replica=info.get("role") == "slave",
        num_replicas=int(info.get("connected_slaves", "0")),
        appendonly=aof == "yes" if aof else None,
        appendfsync=config["appendfsync"],
        policy=config["maxmemory-policy"] or info.get("maxmemory_policy", ""),
    )


def _parse_info(reply: object) -> dict[str, str]:
    if isinstance(reply, ResponseError):
        return {}
    assert isinstance(reply, bytes)
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (each.partition(":") for each in lines) if colon}


def _setting(reply: object) -> str:
    """The value in a reply of CONFIG GET; "" where there is none."""
    if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[1], bytes):
        return ""
    return reply[1].decode(errors="replace")
