"""Redis' own TIME, which the sessions of all its servers go by, however far apart their clocks."""

import logging
from typing import cast

from redis.exceptions import ResponseError

from carousel.service.errors import SettingError, StoreUnavailable
from carousel.service.sessions.clock import SLACK_S, Reading, read_machine, steady_s
from carousel.service.sessions.stores.redis.link import RedisLink

log = logging.getLogger("carousel.store")


def read_time(link: RedisLink) -> Reading:
    """What Redis' clock says; the machine's own where Redis may not be asked. Raises what
    `exchange` does.
    """
    began = steady_s()
    reply = link.exchange([(b"TIME",)])[0]
    ended = steady_s()
    if isinstance(reply, ResponseError):
        return read_machine()
    seconds, microseconds = map(int, cast(list[bytes], reply))
    return Reading(seconds + microseconds / 1e6, began, ended)


def meet(link: RedisLink) -> Reading:
    """The first reading, and in the log how far the machine's own clock is off. Raises
    SettingError.
    """
    try:
        reply = link.exchange([(b"TIME",)])[0]
        if isinstance(reply, ResponseError):
            log.warning(
                "Redis at %s may not be asked for its TIME (%s): sessions go by this machine's "
                "clock",
                link.url,
                link.scrub(reply),
            )
        reading = read_time(link)
    except StoreUnavailable as error:
        raise SettingError("CAROUSEL_STORE", f"{link.url}: {error.detail}") from None
    off_s = read_machine().offset - reading.offset
    if abs(off_s) > SLACK_S:
        log.warning(
            "this machine's clock is %+.0f s off that of Redis at %s; sessions go by Redis'",
            off_s,
            link.url,
        )
    return reading
