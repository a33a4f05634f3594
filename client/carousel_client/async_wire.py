"""Carries plans out on asyncio's loop."""

import asyncio

import httpx

from carousel_client.endpoint import Endpoint
from carousel_client.plan import Plan, T, Wait
from carousel_client.wire import unanswered


class AsyncWire:
    """The connections to one server; of one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http = httpx.AsyncClient(
            timeout=endpoint.timeout,
            limits=endpoint.limits,
            verify=endpoint.verify,
        )

    def __repr__(self) -> str:
        return f"<AsyncWire {self.endpoint.url}>"

    async def run(self, plan: Plan[T]) -> T:
        """What the plan returns."""
        try:
            todo = next(plan)
            while True:
                if type(todo) is Wait:
                    await asyncio.sleep(todo.seconds)
                    todo = plan.send(None)
                    continue
                assert isinstance(todo, httpx.Request)
                try:
                    response = await self._http.send(todo)
                except httpx.RequestError as error:
                    todo = plan.throw(unanswered(error, self.endpoint.url))
                else:
                    todo = plan.send(response)
        except StopIteration as end:
            found: T = end.value
            return found

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()
