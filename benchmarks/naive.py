"""What most people write: FastAPI, a pydantic body, an eager nn.LSTM and a dict of states."""

import argparse

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.artifacts import build_lstm
from benchmarks.cases import SIZES

app = FastAPI()
models = {size.model: build_lstm(size) for size in SIZES}
states: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}


class StepBody(BaseModel):
    """The next time steps of one session: (T, F)."""

    inputs: list[list[float]]


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Up."""
    return {"status": "ready"}


@app.post("/models/{model}/sessions/{session_id}/steps")
async def step(model: str, session_id: str, body: StepBody) -> dict[str, list[list[float]]]:
    """Run the model from where the session stands."""
    inputs = torch.tensor(body.inputs).unsqueeze(1)  # (T, 1, F)
    with torch.no_grad():
        outputs, states[session_id] = models[model](inputs, states.get(session_id))
    return {"outputs": outputs.squeeze(1).tolist()}  # (T, H)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    torch.set_num_threads(1)
    port = parser.parse_args().port
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
