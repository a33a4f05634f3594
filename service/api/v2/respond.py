"""The inference response: JSON, and behind it the tensors that were asked for in binary."""

from collections.abc import Sequence

import orjson

from carousel.service.api.encoding.arrays import array_json
from carousel.service.api.http.answer import Answer, Header
from carousel.service.api.v1.work import RowResult
from carousel.service.api.v2.binary_tensors import HEADER
from carousel.service.api.v2.oip_codec import ChosenOutputs, OipCodec
from carousel.service.api.v2.request import InferRequest

_JSON: Header = (b"content-type", b"application/json")
_BINARY: Header = (b"content-type", b"application/octet-stream")


def respond(
    codec: OipCodec,
    request: InferRequest,
    choice: ChosenOutputs,
    rows: Sequence[RowResult],
    parameters: bytes = b"",
) -> Answer:
    """The answer to a request; `parameters` are a JSON object, if there are any."""
    parts = [codec.head]
    if request.id is not None:
        parts += b',"id":', orjson.dumps(request.id)
    if parameters:
        parts += b',"parameters":', parameters
    binary: list[bytes] = []
    before = b',"outputs":['
    for each in choice.outputs:
        array = each.tensor.whole(rows)
        parts += before, each.tensor.head, orjson.dumps(array.shape)
        before = b","
        if each.binary:
            data = array.tobytes()
            binary.append(data)
            parts.append(b',"parameters":{"binary_data_size":%d}}' % len(data))
        else:
            parts += b',"data":', array_json(array.reshape(-1)), b"}"
    parts.append(b"]}")
    document = b"".join(parts)
    if not binary:
        return Answer(200, document, [_JSON])
    headers = [_BINARY, (HEADER, b"%d" % len(document))]
    return Answer(200, b"".join((document, *binary)), headers)
