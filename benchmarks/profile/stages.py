"""Which of the service's functions stand at the boundaries of stages, and how they are wrapped.

The product has no hooks: its classes are changed in the server's process, before it makes any
object. What a function calls in turn is its stage's, unless that is another one's function.
"""

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from benchmarks.profile.stage_clock import StageClock

STAGES = (
    "read", "decode", "session", "queue", "pack", "gather", "run", "scatter", "commit", "encode",
    "write",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Boundary:
    """`name` in `module`, below the service's package. `waits`: it sleeps until there is work,
    which takes no CPU, and is nothing that a lone client waits for.
    """

    stage: str
    module: str
    name: str
    waits: bool = False

    def find(self) -> tuple[Any, str, Any]:
        """What has it, under which name, and itself; raises AttributeError, ImportError."""
        owner: Any = importlib.import_module(f"carousel.service.{self.module}")
        *path, last = self.name.split(".")
        for part in path:
            owner = getattr(owner, part)
        return owner, last, owner.__dict__[last] if last in vars(owner) else _missing(self)


def _missing(boundary: Boundary) -> Any:
    raise AttributeError(f"{boundary.module} has no {boundary.name}: the profile is out of date")


def _of(stage: str, module: str, *names: str, waits: bool = False) -> list[Boundary]:
    return [Boundary(stage, module, name, waits) for name in names]


BOUNDARIES: tuple[Boundary, ...] = (
    *_of("read", "api.server.http_connection", "HttpConnection.data_received"),
    *_of("read", "api.server.cycle", "Cycle.run"),
    *_of("read", "api.streams.connection", "StreamConnection.data_received"),
    *_of("decode", "api.v1.step", "StepRoute._parse"),
    *_of("decode", "api.streams.stream", "Stream._read"),
    *_of("decode", "api.v1.columnar.columnar_steps", "read_tensors"),
    *_of("session", "sessions.step_run", "StepRun.begin"),
    *_of("session", "sessions.step_run", "StepRun._finished"),
    *_of("session", "sessions.block_run", "BlockRun._finished"),
    *_of("session", "api.v1.columnar.columnar_steps", "run_columns"),
    *_of("queue", "engine.engine", "Engine.enqueue", "Engine._pass_on", "Engine._resolve"),
    *_of("queue", "engine.engine", "Engine._call_loop"),
    *_of("queue", "engine.core", "Core.begin", "Core.end"),
    *_of("queue", "engine.runner", "Runner._take", waits=True),
    *_of("queue", "sessions.stores.batch_worker", "BatchWorker._take", waits=True),
    *_of("pack", "engine.batch", "Packer.pack", "Packer.pack_block"),
    *_of("pack", "engine.batch", "Packer.unpack", "Packer.unpack_block"),
    *_of("gather", "backends.numpy_pool", "NumpyPool.gather", "NumpyPool.unpack"),
    *_of("run", "backends.onnx", "OnnxBackend.run"),
    *_of("scatter", "backends.numpy_pool", "NumpyPool.pack", "NumpyPool.finite"),
    *_of("scatter", "backends.numpy_pool", "NumpyPool.to_host", "NumpyPool.scatter"),
    *_of("commit", "sessions.committer", "Committer.__call__"),
    *_of("commit", "sessions.stores.sqlite.writer", "SqliteWriter.handle"),
    *_of("commit", "sessions.stores.sqlite.checkpointer", "Checkpointer._carry"),
    *_of("encode", "api.v1.step", "_Work.answer"),
    *_of("encode", "api.streams.message", "FrameWork.answer"),
    *_of("encode", "api.v1.columnar.columnar_steps", "write_tensors"),
    *_of("write", "api.server.admission", "Admission.reply"),
    *_of("write", "api.server.http_connection", "HttpConnection.write"),
    *_of("write", "api.streams.stream", "Stream._send"),
)


def wrap_all(clock: StageClock, *, with_waits: bool) -> None:
    """Wrap every boundary; raises where one is not found."""
    for each in BOUNDARIES:
        owner, name, function = each.find()
        if with_waits or not each.waits:
            setattr(owner, name, wrap(clock, each.stage, function))


def wrap(clock: StageClock, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time the stage's; of a coroutine function, while it does not wait."""
    enter, leave = clock.enter, clock.leave
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **named: Any) -> Any:
            return await _driven(clock, stage, function(*args, **named))

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        enter(stage)
        try:
            return function(*args, **named)
        finally:
            leave()

    return called


@types.coroutine
def _driven(clock: StageClock, stage: str, inner: Any) -> Generator[Any, Any, Any]:
    """A coroutine, whose turns are timed and whose waits are not."""
    resume, given = inner.send, None
    while True:
        clock.enter(stage)
        try:
            waits_for = resume(given)
        except StopIteration as ended:
            return ended.value
        finally:
            clock.leave()
        try:
            resume, given = inner.send, (yield waits_for)
        except BaseException as error:
            resume, given = inner.throw, error
