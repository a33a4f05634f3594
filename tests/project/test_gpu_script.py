"""`tests/gpu/run.sh` runs where there is no GPU, as far as it can, and says what is missing."""

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.harness.process import ROOT, Ended, run_program

_SCRIPT = ["bash", str(ROOT / "tests/gpu/run.sh")]


def _run(*flags: str, patience_s: float = 30) -> Ended:
    return run_program([*_SCRIPT, *flags], {"PYTHON": sys.executable}, patience_s=patience_s)


@pytest.mark.timeout(240)
def test_it_tries_itself_on_the_cpu(tmp_path: Path) -> None:
    """Tests that pass, and a table with a line for each size of each program."""
    ended = _run("--device", "cpu", "--quick", "--results", str(tmp_path), patience_s=230)
    assert ended.code == 0, ended.out + ended.err
    assert " passed" in ended.out
    found = json.loads((tmp_path / "device.json").read_text())
    assert found["left_out"] == []
    steps = {(each["program"], each["rows"]): each for each in found["steps"]}
    assert steps.keys() == {(p, rows) for p in ("torchscript", "onnx") for rows in (1, 5, 64)}
    # The engine does more than the program, which it runs.
    assert all(0 < each["program_us"] < each["committed_us"] for each in found["steps"])
    assert [each["rows"] for each in found["layers"]] == [1, 5, 64]
    (pool,) = found["pools"]
    assert pool["pool_bytes"] == 10_000 * 2 * 2 * 20 * 4
    page = (tmp_path / "device.md").read_text()
    for each in found["steps"]:
        assert f"| {each['model']} | {each['program']} | {each['rows']} | " in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_it_says_that_there_is_no_gpu() -> None:
    """One sentence and 1, before anything is run or written."""
    ended = _run()
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("gpu: torch ")
    assert line.endswith("; there is nothing to measure here")


@pytest.mark.parametrize("flags", [("--fast",), ("--device", "tpu"), ("--device",)])
def test_it_knows_its_flags(flags: tuple[str, ...]) -> None:
    """What is not one is refused by name."""
    ended = _run(*flags)
    assert ended.code != 0
    assert flags[-1] in ended.err
