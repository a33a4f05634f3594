"""What the bodies of the control plane are refused with."""

import pytest

from carousel.service.api.v1.control_bodies import ForkSession, OpenSession, WriteState, read_body
from carousel.service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "model: nothing given; it is required\n"),
        (b'{"position": 3}', "model: nothing given; it is required\n"),
        (b'{"model": "m", "modle": 1}', "modle: unknown field given; expected one of model, "),
        (b'{"model": 7}', "model: a number given; it should be a valid string"),
    ],
)
def test_a_refusal_names_the_field_at_fault(body: bytes, said: str) -> None:
    """That one alone where it is missing; all that there are where one is unknown."""
    with pytest.raises(InvalidRequest) as caught:
        read_body(OpenSession, body)
    assert f"{caught.value.detail}\n".startswith(said)


def test_of_two_that_are_missing_the_first_is_named() -> None:
    """The next refusal names the other."""
    with pytest.raises(InvalidRequest, match=r"^state: nothing given; it is required$"):
        read_body(WriteState, b"{}")


def test_nothing_is_required_of_a_fork() -> None:
    """An empty body is one copy."""
    assert read_body(ForkSession, b"") == ForkSession()
