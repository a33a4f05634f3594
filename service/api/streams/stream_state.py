"""Whether a stream takes frames, and all that it does, in a table."""

from enum import Enum


# What a stream does, whole. A frame "runs" from `_begin` to `_finish`; all others wait. Every frame
# that was accepted is answered once, or forgotten, and the service's end waits for that.
#
#   in       a frame  what happens                     what is done                          then
#   -------  -------  -------------------------------  ------------------------------------  -------
#   OPEN     none     a frame comes, the client reads  it begins, after those that wait      OPEN
#   OPEN     none     a frame comes, it does not       it waits                              OPEN
#   OPEN     none     the client reads again           what has waited longest begins        OPEN
#   OPEN     runs     a frame comes                    it waits; if too much does, the       OPEN
#                                                      client is held back
#   OPEN     runs     its step is done                 the reply is sent; the next begins    OPEN
#   OPEN     runs     its step is refused              the error is sent; the next begins    OPEN
#   OPEN     runs     it is, for its session is gone   the error is sent; a close            ENDED
#   OPEN     none     `give_up`: another took over     a close, TAKEN_OVER                   ENDED
#   OPEN     runs     `give_up`                        what waits is forgotten               LEAVING
#   LEAVING  runs     its step is done or refused      that is sent; a close, TAKEN_OVER     ENDED
#   OPEN,    either   `end`: from this side            what waits is forgotten; a close      ENDED
#   LEAVING
#   any      either   `lost`: the client has gone      what waits is forgotten; what runs    ENDED
#                                                      is committed, unless it went without
#                                                      a task and the engine has not come
#                                                      to it
#   LEAVING, either   a frame comes                    nothing: it is not accepted
#   ENDED
#   ENDED    runs     its step is done or refused      nothing is sent; what was committed
#                                                      stays so
#
# Once the service refuses requests, a frame that comes is not accepted, whatever the stream is in.
# There is no LEAVING without a frame that runs.
#
# A refusal holds: what comes behind it was sent by a client that did not know of it, and is refused
# with the same error, until a frame names a position, be it in a step or alone (Sync).
class State(Enum):
    """Whether a stream takes frames, and whether it may still speak."""

    OPEN = "open"
    LEAVING = "leaving"
    ENDED = "ended"
