"""Examples for the schema; each works as it stands on a service of the reference models."""

from typing import Any

MODEL = "lstm-10-20-2"
SESSION = "sensor-7"

_STEP = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]
_ZEROS = [[0.0] * 20] * 2

OPEN: dict[str, Any] = {"model": MODEL, "session_id": SESSION}
STEP: dict[str, Any] = {"inputs": _STEP}
BULK: dict[str, Any] = {"steps": [{"session_id": SESSION, "inputs": _STEP}]}
INFER: dict[str, Any] = {"sequences": [_STEP * 2, _STEP * 3]}
FORK: dict[str, Any] = {"count": 2}
WRITE_STATE: dict[str, Any] = {"state": {"h": _ZEROS, "c": _ZEROS}, "position": 0}
OIP: dict[str, Any] = {
    "inputs": [{"name": "input", "shape": [1, 1, 10], "datatype": "FP32", "data": _STEP[0]}],
    "parameters": {"sequence_id": 7, "sequence_start": True},
}
PARAMETERS: dict[str, Any] = {"model": MODEL, "session_id": SESSION, "version": 1}
