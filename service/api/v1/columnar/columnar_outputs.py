"""What became of the rows, as both encodings have it."""

import orjson

from carousel.models.row import Array
from carousel.models.spec import OutputSpec
from carousel.service.api.http.problem import problem_members, unexpected
from carousel.service.api.v1.columnar.columnar_request import ColumnarRequest
from carousel.service.errors import CarouselError
from carousel.service.sessions.columns import ColumnReplies


def on_wire(request: ColumnarRequest, replies: ColumnReplies, output: OutputSpec) -> Array:
    """An output of all rows, without the axis of time where the inputs came without."""
    array = replies.outputs[output.name]
    if request.squeezed and request.columns.is_timed(output):
        return array[:, 0]
    return array


def errors_json(replies: ColumnReplies) -> bytes:
    """The problems of rows at fault as a JSON object, by row."""
    # Each as text before the next: objects of all of them would take three times as much.
    return b"{%b}" % b",".join(
        b'"%d":%b' % (row, orjson.dumps(_members(replies.errors[row])))
        for row in sorted(replies.errors)
    )


def _members(error: Exception) -> dict[str, object]:
    if not isinstance(error, CarouselError):
        error = unexpected(error, where="a step of many")
    return problem_members(error, is_step=True)
