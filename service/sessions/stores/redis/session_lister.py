"""Lists a tenant's sessions from the set of its ids, a few at a time."""

import logging
from typing import cast

from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.base import Damaged
from carousel.service.sessions.stores.redis.keys import ids_key
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.meta_reader import read_metas
from carousel.service.sessions.stores.sealed import SealedMeta

log = logging.getLogger("carousel.store")

# Sessions whose metadata is read in one round trip, at least and at most.
_FEWEST = 16
MOST = 256
# How many damaged sessions are remembered, so that each is logged once.
_LOGGED = 1000


class SessionLister:
    """Used by the thread that reads."""

    def __init__(self) -> None:
        self._logged: set[Key] = set()

    def __repr__(self) -> str:
        return f"<SessionLister damaged={len(self._logged)}>"

    def read(
        self, link: RedisLink, tenant: str, after: str | None, limit: int
    ) -> tuple[list[SealedMeta], str | None]:
        """The metadata of about `limit` sessions that follow `after`; the id to go on after, None
        at the end.
        """
        count = min(max(limit, _FEWEST), MOST)
        start = b"-" if after is None else b"(" + after.encode()
        reply = link.ask(b"ZRANGEBYLEX", ids_key(tenant), start, b"+", b"LIMIT", 0, count)
        keys = [(tenant, name.decode()) for name in cast(list[bytes], reply)]
        metas: list[SealedMeta] = []
        for key, found in zip(keys, read_metas(link, keys), strict=True):
            if isinstance(found, SealedMeta):
                metas.append(found)
            elif isinstance(found, Damaged):
                self._log(key)
        return metas, keys[-1][1] if len(keys) == count else None

    def _log(self, key: Key) -> None:
        if key not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(key)
            log.warning("session %r is damaged and left out of the list", key[1])
