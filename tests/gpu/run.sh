#!/usr/bin/env bash
# What a GPU must be shown to do, and how fast it is: correctness, then a table, in under four
# minutes. From a checkout: bash tests/gpu/run.sh. Python is PYTHON, or that of .venv, or python3.
# Writes gpu-results/device.json and gpu-results/device.md.
#
# --device cpu --quick tries the script itself, in half a minute, and shows nothing about a GPU.
# --results FOLDER writes elsewhere.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Seconds for each part; together under four minutes.
TESTS_S=130
TABLE_S=95

device=cuda quick= results=gpu-results
while [ "$#" -gt 0 ]; do
  case "$1" in
    --device) device=${2:?--device takes cuda or cpu}; shift 2 ;;
    --results) results=${2:?--results takes a folder}; shift 2 ;;
    --quick) quick=--quick; shift ;;
    *) echo "gpu: no such flag: $1 (--device cuda|cpu, --quick, --results FOLDER)" >&2; exit 2 ;;
  esac
done

python=${PYTHON:-}
if [ -z "$python" ]; then
  python=python3
  if [ -x .venv/bin/python ]; then python=.venv/bin/python; fi
fi

# The tests of the way to a device, on it; on the CPU over the link that is late.
case "$device" in
  cuda) where=cuda ;;
  cpu) where=late ;;
  *) echo "gpu: --device is cuda or cpu, not $device" >&2; exit 2 ;;
esac
tests=(tests/gpu tests/service/backends/test_backends.py)
if [ -n "$quick" ]; then tests=(tests/gpu/test_sessions.py); fi

"$python" - "$device" <<'PROBE' || exit 1
import importlib.util
import sys

wanted = ("numpy", "onnx", "onnxruntime", "orjson", "pydantic", "pytest", "pytest_timeout",
          "safetensors", "torch", "httpx")
missing = [name for name in wanted if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"gpu: {sys.executable} lacks {', '.join(missing)}; `make setup` installs them")
import torch

if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    built = "is built for the CPU alone" if torch.version.cuda is None else "sees no CUDA device"
    sys.exit(f"gpu: torch {torch.__version__} {built}; there is nothing to measure here")
PROBE

mkdir -p "$results"
export PYTHONPATH="$PWD:$PWD/client${PYTHONPATH:+:$PYTHONPATH}"
failed=0
echo "gpu: correctness on $device"
timeout -k 5 "$TESTS_S" "$python" -m pytest -q -p no:cacheprovider -k "$where" "${tests[@]}" \
  || { failed=1; echo "gpu: correctness FAILED, or took more than $TESTS_S s" >&2; }
echo "gpu: measuring on $device"
timeout -k 5 "$TABLE_S" "$python" -m benchmarks.device --device "$device" $quick \
  --seconds $((TABLE_S - 25)) --results "$results" \
  || { failed=1; echo "gpu: measuring FAILED, or took more than $TABLE_S s" >&2; }
exit "$failed"
