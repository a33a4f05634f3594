"""Models whose tensors have the names of columns: refused in safetensors; JSON has both."""

from dataclasses import replace

import numpy as np
import pytest

from tests.harness.client import refused
from tests.harness.fakes import WITNESS
from tests.harness.inside import Service, serve
from tests.harness.rig import witness_engine, witness_model
from tests.service.api.v1.columnar.asking import JSON, PATH, TENSORS, body_of

ONES = np.ones((2, 2), np.float32)


@pytest.mark.parametrize("name", ["position", "status", "replayed", "opened"])
def test_an_output_of_such_a_name(name: str) -> None:
    """406 before anything runs; asked for in JSON it is answered."""
    spec = replace(WITNESS, outputs=(replace(WITNESS.outputs[0], name=name),))

    async def scenario(service: Service) -> None:
        rig = service.rig
        rig.serve(witness_model(witness_engine(rig.backend, spec=spec), spec=spec))
        body = body_of(TENSORS, ["a", "b"], {"x": ONES}, model="witness", open=True)
        headers = {"content-type": TENSORS}
        answer = await service.http.post(PATH, content=body, headers=headers)
        assert name in refused(answer, 406, "not_acceptable")["detail"]
        answer = await service.http.post(PATH, content=body, headers=headers | {"accept": JSON})
        assert answer.json()["outputs"] == ONES.tolist()
        assert answer.json()["opened"] == [0, 1]

    serve(scenario)


@pytest.mark.parametrize("name", ["position", "lengths"])
def test_an_input_of_such_a_name(name: str) -> None:
    """415; as JSON it is read."""
    spec = replace(WITNESS, inputs=(replace(WITNESS.inputs[0], name=name),))

    async def scenario(service: Service) -> None:
        rig = service.rig
        rig.serve(witness_model(witness_engine(rig.backend, spec=spec), spec=spec))
        body = body_of(TENSORS, ["a", "b"], {name: ONES}, model="witness", open=True)
        answer = await service.http.post(PATH, content=body, headers={"content-type": TENSORS})
        assert name in refused(answer, 415, "unsupported_media_type")["detail"]
        given = {"model": "witness", "session_ids": ["a"], "inputs": {name: [1, 1]}, "open": True}
        answer = await service.http.post(PATH, json=given | {"inputs": {name: [[1, 1]]}})
        assert answer.status_code == 200, answer.text

    serve(scenario)
