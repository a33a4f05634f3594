"""Requests of the Open Inference Protocol to the witness, in this process."""

from typing import Any

import httpx
import numpy as np

from tests.harness.inside import Service
from tests.service.api.v2.oip import read

PATH = "/v2/models/witness/infer"


def document(*values: float, **parameters: Any) -> dict[str, Any]:
    """A request that feeds the witness numbers, one a time step."""
    data = [each for each in values for _ in range(2)]
    entry = {"name": "x", "shape": [1, len(values), 2], "datatype": "FP32", "data": data}
    return {"inputs": [entry], "parameters": parameters}


async def infer(service: Service, *values: float, **parameters: Any) -> httpx.Response:
    """Send one."""
    headers = parameters.pop("headers", {})
    return await service.http.post(PATH, json=document(*values, **parameters), headers=headers)


def sums(answer: httpx.Response) -> list[float]:
    """The running sums in an answer, one a time step."""
    output = np.asarray(read(answer)[1]["output"], np.float64)
    return [float(each) for each in output[0, :, 0]]
