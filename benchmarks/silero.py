"""Silero VAD, imported from its package's ONNX file, beside the package's own loops."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import uvloop

from benchmarks.cases import SEED, Floats
from benchmarks.figures import Figure
from benchmarks.findings import Absent, Findings
from benchmarks.framing import LoadError
from benchmarks.live import Live, run_live
from benchmarks.load import run_load
from benchmarks.measure import TOLERANCE, WARMUP_S, drive
from benchmarks.plan import Plan
from benchmarks.process import LOAD_CORE, SERVER_CORE, Server, pinned
from benchmarks.progress import run_export
from benchmarks.ways import WebSocket
from carousel.models.repository import Repository

_MODEL = "silero-vad"
_RATE, _NEW, _CONTEXT = 16_000, 512, 64
_SESSIONS = 64
_NUM_FRAMES = 200
_CHECKED = (0, 21, 42, 63)
_AIMS = {"onnx": ("ONNX", 1.5), "torchscript": ("TorchScript", 3.0)}
_LIVE_STEP = 32
_LIVE_MOST = 1024
_LIVE_P99_MS = 32.0
_HEADER = """\
| live 16 kHz streams | p50 ms | p99 ms | service's core |
| ---: | ---: | ---: | ---: |
"""


def measure_silero(plan: Plan) -> Findings:
    """Frames per second of many callers beside the package's loops, and how many can be live."""
    what = f"Silero VAD, {_SESSIONS} sessions: frames/s of the package's {{}} loop".format
    if find_spec("silero_vad") is None:
        why = "the package silero-vad is not installed"
        return Findings([Absent(what(name), ">=", aim, why) for name, aim in _AIMS.values()])
    _import(plan.repository)
    audio = _audio()
    np.save(plan.scratch / "audio.npy", audio)
    found: list[tuple[dict[str, float], float]] = []
    with plan.running("silero", "memory") as server:
        with _package(plan) as loop:
            for _ in range(plan.num_runs):
                loops = {name: _ask(loop, f"{name} {plan.window_s}") for name in _AIMS}
                frame_us = _frame_us(plan, server, audio)
                found.append((loops, frame_us))
                shown = ", ".join(f"{name} {each:.0f}" for name, each in loops.items())
                plan.say(f"silero: {frame_us:.0f} us a frame; the package: {shown}")
        streams, table = _find_live(plan, server, audio)
    figures = [
        Figure(what(name), median(loops[key] / us for loops, us in found), ">=", aim)
        for key, (name, aim) in _AIMS.items()
    ]
    times = "; ".join(
        f"{us:.0f}, {loops['onnx']:.0f}, {loops['torchscript']:.0f}" for loops, us in found
    )
    note = (
        f"Silero VAD: {_SESSIONS} sessions over WebSocket, one frame of {_NEW} samples a message, "
        f"{_CONTEXT} of context kept by the service; us a frame of each run, here, in the "
        f"package's ONNX loop and in its TorchScript loop, all on the service's core: {times}. "
        f"Probabilities were checked. Live: a frame every {_NEW * 1000 // _RATE} ms and stream, "
        f"latency from the time it was due; {streams} streams had a p99 under {_LIVE_P99_MS:g} ms."
    )
    return Findings(figures, notes=[note, table])


def _import(repository: Path) -> None:
    if _MODEL in Repository(repository).names():
        return
    package = find_spec("silero_vad")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "data" / "silero_vad.onnx"
    shape = f"input:float32:batch,{_NEW + _CONTEXT}"
    given = ["--input", shape, "--constant", f"sr={_RATE}", "--context", f"input={_CONTEXT}"]
    place = ["--name", _MODEL, "--model-repository", str(repository)]
    run_export(["export", "import", str(file), *place, *given])


def _audio() -> Floats:
    """Bursts of tones over noise, (sessions, frames, 512): not speech, and not silence either."""
    order = np.random.default_rng(SEED)
    seconds = np.arange(_NUM_FRAMES * _NEW) / _RATE
    hertz = order.uniform(90.0, 300.0, (_SESSIONS, 1))
    harmonics = sum(np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, 9))
    loudness = np.maximum(
        0.0, np.sin(2 * np.pi * order.uniform(1.0, 4.0, (_SESSIONS, 1)) * seconds)
    )
    noise = 0.01 * order.standard_normal((_SESSIONS, seconds.size))
    samples = 0.2 * harmonics * loudness + noise
    frames: Floats = samples.astype(np.float32).reshape(_SESSIONS, _NUM_FRAMES, _NEW)
    return frames


@contextlib.contextmanager
def _package(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """The package's own loops, in a process on the service's core that waits to be asked."""
    arguments = [str(plan.scratch / name) for name in ("audio.npy", "heard.npy")]
    with pinned(SERVER_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.silero_loop", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            if _line(process) != "ready":
                raise LoadError("the package's own loop did not start")
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], question: str) -> float:
    assert process.stdin is not None
    process.stdin.write(question + "\n")
    process.stdin.flush()
    return float(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _frame_us(plan: Plan, server: Server, audio: Floats) -> float:
    """Microseconds a frame with every session waiting for its answer before its next."""
    target = WebSocket(server)
    target.open_sessions(_MODEL, _SESSIONS)
    streams = target.streams(audio, _CHECKED, _NUM_FRAMES)
    done = drive(target, _MODEL, run_load(server.port, streams, WARMUP_S, plan.window_s))
    target.check(done.load)
    target.close()
    heard = np.load(plan.scratch / "heard.npy")
    for row in _CHECKED:
        outputs = np.concatenate([np.frombuffer(body, "<f4") for body in done.load.kept[row]])
        error = float(np.abs(outputs - heard[row, : len(outputs)]).max())
        if not error <= TOLERANCE:
            raise LoadError(f"{_MODEL} answers wrong: off the package's loop by {error:.1e}")
    return 1e6 / done.run.steps_s


def _find_live(plan: Plan, server: Server, audio: Floats) -> tuple[int, str]:
    """The most streams, in steps of 32, that are answered in time; and a line for each number."""
    best, lines = 0, []
    for num_streams in range(_LIVE_STEP, _LIVE_MOST + 1, _LIVE_STEP):
        live, share = _live(plan, server, audio, num_streams)
        lines.append(f"| {num_streams} | {live.p50_ms:.1f} | {live.p99_ms:.1f} | {share:.0%} |")
        plan.say(f"silero: {num_streams} live streams: p99 {live.p99_ms:.1f} ms")
        if live.p99_ms >= _LIVE_P99_MS:
            break
        best = num_streams
    return best, _HEADER + "\n".join(lines)


def _live(plan: Plan, server: Server, audio: Floats, num_streams: int) -> tuple[Live, float]:
    """What came of so many streams, and the service's share of its core."""
    target = WebSocket(server)
    target.open_sessions(_MODEL, num_streams)
    streams = target.streams(audio[np.arange(num_streams) % _SESSIONS], (), 0)
    began, cpu_s = time.perf_counter(), server.cpu_s()
    with pinned(LOAD_CORE), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        live = runner.run(run_live(streams, _NEW / _RATE, WARMUP_S, plan.window_s))
    share = (server.cpu_s() - cpu_s) / (time.perf_counter() - began)
    target.close()
    return live, share
