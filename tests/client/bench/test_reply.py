"""Replies of HTTP/1.1, however they are cut, and what is none."""

import pytest

from carousel_bench.load.reply import BadReply, Reply, ReplyReader

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: 5\r\n\r\nhello"


@pytest.mark.parametrize("at", range(1, len(ANSWER)))
def test_a_reply_may_be_cut_anywhere(at: int) -> None:
    """It comes once it is whole, and so does the next on the connection."""
    reader = ReplyReader()
    for _ in range(2):
        assert reader.feed(ANSWER[:at]) is None
        assert reader.feed(ANSWER[at:]) == Reply(200, b"hello")


def test_it_says_whether_the_connection_ends() -> None:
    """As a proxy does after some number of requests."""
    answer = b"HTTP/1.1 429 Too Many\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert ReplyReader().feed(answer) == Reply(429, b"", closes=True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ANSWER + b"H",
        b"x" * 70_000,
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    """With words for it, and never by waiting for more without end."""
    with pytest.raises(BadReply, match=r"repl|HTTP"):
        ReplyReader().feed(data)
