"""Steps of sequences that are answered without a task: the same answers, in order."""

import json
import re
from typing import Any

import numpy as np

from carousel.service.api.http.step_call import StepCall
from tests.harness.rig import Rig, settle, until
from tests.harness.sequences import go_on
from tests.harness.site import Connection, Site, on_a_socket
from tests.service.api.v2.oip import LENGTH, read
from tests.service.api.v2.oip_witness import PATH, infer, sums


def raw(*values: float, line: bytes = b"", **parameters: Any) -> bytes:
    """A request with its tensor in binary, as bytes on a connection."""
    x = np.repeat(np.asarray(values, "<f4")[:, None], 2, 1)
    size = {"binary_data_size": x.nbytes}
    entry = {"name": "x", "shape": [1, len(values), 2], "datatype": "FP32", "parameters": size}
    head = json.dumps({"inputs": [entry], "parameters": parameters}).encode()
    body = head + x.tobytes()
    lines = [b"POST %b HTTP/1.1" % PATH.encode(), b"Host: 127.0.0.1"]
    lines += [b"%b: %d" % (LENGTH.encode(), len(head)), b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, *([line] if line else [])]) + b"\r\n\r\n" + body


async def told(line: Connection) -> tuple[int, Any]:
    """The next answer's status and JSON."""
    status, _, body = await line.answer()
    return status, json.loads(body)


def test_steps_without_a_task_are_those_with_one() -> None:
    """On either way a step has the same status, headers and body, good or bad."""

    async def scenario(site: Site) -> None:
        for name, values in (("good", (2,)), ("bad", ()), ("failing", (site.rig.backend.poison,))):
            answers = []
            for way, extra in (("a", ()), ("b", (b"Expect: 100-continue",))):
                sequence_id = f"{name}-{way}"
                start = await infer(site.service, 1, sequence_id=sequence_id, sequence_start=True)
                session = read(start)[0]["parameters"]["session_id"]
                await infer(site.service, 1, sequence_id=sequence_id)
                line = await site.connect()
                line.send(
                    raw(
                        *values,
                        line=b"\r\n".join([b"X-Request-ID: the-same", *extra]),
                        sequence_id=sequence_id,
                    )
                )
                if extra:
                    await line.reader.readuntil(b"100 Continue\r\n\r\n")
                status, headers, body = await line.answer()
                headers.pop(b"date")
                body = body.replace(sequence_id.encode(), b"").replace(session.encode(), b"")
                answers.append((status, headers, body))
            assert answers[0] == answers[1]

    on_a_socket(scenario)


def test_steps_of_sequences_need_no_task() -> None:
    """Whether they run, come again or end it; a start and what is no step are answered in one."""

    async def scenario(site: Site) -> None:
        begun: list[object] = []
        gate = site.service.app.gate
        begin = gate.begin

        def note(*arguments: Any) -> object:
            begun.append(begin(*arguments))
            return begun[-1]

        gate.begin = note  # type: ignore[method-assign, assignment]
        line = await site.connect()
        for request in (
            raw(1, sequence_id=1, sequence_start=True),
            raw(2, sequence_id=1),
            raw(3, sequence_id=1, position=2),
            raw(3, sequence_id=1, position=2),
            raw(4),
            raw(4, sequence_id=1, sequence_end=True),
        ):
            line.send(request)
            assert (await told(line))[0] == 200
        ways = [isinstance(each, StepCall) for each in begun]
        assert ways == [False, True, True, True, False, True]

    on_a_socket(scenario)


def test_pipelined_steps_are_answered_in_order() -> None:
    """Start, steps and end sent at once on one connection are one sequence."""

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(
            raw(1, sequence_id=1, sequence_start=True),
            raw(2, sequence_id=1),
            raw(3, 4, sequence_id=1),
            raw(5, sequence_id=1, sequence_end=True),
            raw(6, sequence_id=1),
        )
        found = [await told(line) for _ in range(5)]
        assert [status for status, _ in found] == [200, 200, 200, 200, 404]
        outputs = [each["outputs"][0]["data"][::2] for _, each in found[:4]]
        assert outputs == [[1], [3], [6, 10], [15]]
        positions = [each["parameters"]["position"] for _, each in found[:4]]
        assert positions == [1, 2, 4, 5]
        await until(lambda: site.rig.engine.num_pending == 0)
        assert site.rig.engine.slots.num_taken == 0

    on_a_socket(scenario)


def test_a_client_that_leaves_does_not_move_what_did_not_run() -> None:
    """A step without a task whose client is gone before it runs is dropped."""

    async def scenario(site: Site) -> None:
        for number in (1, 2):
            await infer(site.service, 1, sequence_id=number, sequence_start=True)
            await infer(site.service, 1, sequence_id=number)
        site.rig.backend.hold()
        first, second = await site.connect(), await site.connect()
        first.send(raw(1, sequence_id=1))
        await site.rig.backend.entered()
        second.send(raw(1, sequence_id=2))
        await until(lambda: site.rig.engine.num_pending == 2)
        second.writer.close()
        await second.writer.wait_closed()
        await settle()
        site.rig.backend.go()
        assert (await told(first))[0] == 200
        await until(lambda: site.rig.engine.num_pending == 0)
        for number, total in ((1, 4), (2, 3)):
            assert sums(await infer(site.service, 1, sequence_id=number)) == [total]

    on_a_socket(scenario)


def test_another_server_ended_the_sequence_that_is_in_memory() -> None:
    """A step without a task whose write is lost to that is 404, naming the flag."""

    async def scenario(site: Site) -> None:
        store = site.rig.store
        async with Rig(store=store) as other:
            await infer(site.service, 1, sequence_id=1, sequence_start=True)
            answer = await infer(site.service, 2, sequence_id=1)
            session = read(answer)[0]["parameters"]["session_id"]
            key = ("default", session)
            await go_on(other, 3, position=2, end=True, key=key)
            line = await site.connect()
            line.send(raw(4, sequence_id=1))
            status, told_of = await told(line)
            assert (status, "sequence_start" in told_of["error"]) == (404, True)
            line.send(raw(3, sequence_id=1, sequence_end=True, position=2))
            status, again = await told(line)
            assert (status, again["parameters"]["replayed"]) == (200, True)
            assert again["outputs"][0]["data"] == [6, 6]

    on_a_socket(scenario, Rig(shared=True))


def test_the_same_words_again_are_read_as_the_first_time() -> None:
    """What the JSON said is remembered, and nothing else: not the tensor, not its size, not the
    state of things.
    """

    async def scenario(site: Site) -> None:
        for sequence_id in (1, "1"):
            await infer(site.service, 1, sequence_id=sequence_id, sequence_start=True)
        line = await site.connect()
        for value, total in ((2, 3), (4, 7), (8, 15)):
            line.send(raw(value, sequence_id=1))
            assert (await told(line))[1]["outputs"][0]["data"] == [total, total]
        line.send(raw(5, sequence_id="1"))
        assert (await told(line))[1]["outputs"][0]["data"] == [6, 6]
        head, _, body = raw(1, sequence_id=1).partition(b"\r\n\r\n")
        for given in (body[:-4], body + bytes(4), body[:-8]):
            length = b"Content-Length: %d" % len(given)
            line.send(
                re.sub(rb"\r\nContent-Length: \d+", b"\r\n" + length, head), b"\r\n\r\n", given
            )
            status, answer = await told(line)
            assert (status, answer["error"].partition(":")[0]) == (422, "shape_mismatch")
        line.send(raw(16, sequence_id=1))
        assert (await told(line))[1]["outputs"][0]["data"] == [31, 31]
        bad = raw(1, sequence_id=1).replace(b"\x00\x00\x80?" * 2, b"\x00\x00\xc0\x7f" * 2)
        line.send(bad)
        status, answer = await told(line)
        assert (status, answer["error"].partition(":")[0]) == (422, "non_finite_input")
        line.send(raw(1, sequence_id=1, sequence_end=True), raw(1, sequence_id=1))
        assert (await told(line))[0] == 200
        assert (await told(line))[0] == 404
        await infer(site.service, 9, sequence_id=1, sequence_start=True)
        line.send(raw(1, sequence_id=1))
        assert (await told(line))[1]["outputs"][0]["data"] == [10, 10]

    on_a_socket(scenario)
