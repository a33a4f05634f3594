"""`ColumnarSteps`: a step of each of many sessions of one model, as columns."""

from typing import Any

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.http.answer import Answer
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.v1.columnar.asked import ColumnLimits
from carousel.service.api.v1.columnar.columnar_json import read_json, write_json
from carousel.service.api.v1.columnar.columnar_request import ColumnarRequest, ColumnReader
from carousel.service.api.v1.columnar.columnar_tensors import (
    max_header_bytes,
    read_tensors,
    require_free,
    write_tensors,
)
from carousel.service.api.v1.media.choose import JSON, SAFETENSORS, media_for
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.media.safetensors import header_of
from carousel.service.engine.catalog import Catalog
from carousel.service.errors import NotAcceptable
from carousel.service.sessions.column_run import run_columns
from carousel.service.sessions.sessions import Sessions

# What one row takes while it is worked on, an error in its place too, about; and the least that it
# says in the answer.
_ROW_BYTES = 1536
_RESULT_BYTES = 32


class ColumnarSteps:
    """Reads, runs and answers columns. `max_at_once`: rows in a model's queue together."""

    def __init__(
        self,
        sessions: Sessions,
        catalog: Catalog,
        codecs: Codecs,
        transcoder: Transcoder,
        limits: ColumnLimits,
        *,
        max_at_once: int,
    ) -> None:
        self._sessions = sessions
        self._catalog = catalog
        self._transcoder = transcoder
        self._reader = ColumnReader(catalog, codecs, limits)
        self._limits = limits
        self._max_at_once = max_at_once

    def __repr__(self) -> str:
        return f"<ColumnarSteps {self._limits}>"

    def largest(self) -> LargestRequest:
        """What the largest request of any model has."""
        max_steps = self._limits.max_steps
        found = [LargestRequest.of(each.spec, max_steps) for each in self._catalog.all()]
        return LargestRequest.of_any(found, max_steps)

    def read_document(self, exchange: Exchange, document: dict[str, Any]) -> ColumnarRequest:
        """The request that a JSON object is."""
        exchange.flags()
        return read_json(self._reader, document, exchange.body, exchange.deadline)

    async def answer_tensors(self, exchange: Exchange) -> Answer:
        """Answer a body of safetensors."""
        exchange.flags()
        header = header_of(exchange.body, max_header_bytes(self._limits.max_rows))
        request = await self._transcoder.read(
            header,
            exchange.deadline,
            lambda: read_tensors(self._reader, header, exchange.body, exchange.deadline),
            self.largest,
        )
        return await self.answer(exchange, request, SAFETENSORS)

    async def answer(self, exchange: Exchange, request: ColumnarRequest, given: Media) -> Answer:
        """Run what was asked in `given`; raises NotAcceptable before anything runs."""
        media = media_for(exchange.accept, given)
        columns = request.columns
        if media is SAFETENSORS:
            require_free(columns.model.spec)
        elif media is not JSON:
            raise NotAcceptable(
                f"this answer has two encodings, {JSON.name} and {SAFETENSORS.name}"
            )
        num_rows = columns.num_rows
        size = request.codec.answer_size.of(columns.total_steps, num_rows)
        with self._transcoder.hold(num_rows * _ROW_BYTES + size):
            replies = await run_columns(
                self._sessions, exchange.tenant, columns, max_at_once=self._max_at_once
            )
            write = write_tensors if media is SAFETENSORS else write_json
            body = await self._transcoder.write(
                max(size, num_rows * _RESULT_BYTES), lambda: write(request, replies)
            )
        return Answer(200, body, [media.header])
