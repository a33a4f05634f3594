"""Audio to listen to: speech by espeak-ng where it is installed, else noise that comes in words."""

import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 16000

Samples = npt.NDArray[np.float32]

TEXTS = (
    "The constant error carousel carries what was heard a long time ago.",
    "One, two, three. And now, after a while, four.",
    "A server that forgets is a server that was restarted too often.",
)


def speech(folder: Path) -> list[Samples]:
    """Recordings of different length at 16 kHz, each with silence around it."""
    if shutil.which("espeak-ng") is None:
        return [_noise(seed) for seed in range(len(TEXTS))]
    return [_spoken(text, folder / f"{index}.wav") for index, text in enumerate(TEXTS)]


def _spoken(text: str, path: Path) -> Samples:
    subprocess.run(["espeak-ng", "-w", f"{path}", text], check=True, timeout=30)
    with wave.open(f"{path}") as file:
        own = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
        rate = file.getframerate()
    places = np.arange(0, len(own) - 1, rate / RATE)
    return _within_silence(np.interp(places, np.arange(len(own)), own))


def _noise(seed: int) -> Samples:
    """Harmonics of a gliding voice, louder and quieter as syllables are."""
    rng = np.random.default_rng(seed)
    time = np.arange(3 * RATE + seed * 4000) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * time)) / RATE
    voice = sum(np.sin(pitch * harmonic) / harmonic for harmonic in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + seed), 0, None)
    return _within_silence(0.1 * voice * syllables + 0.003 * rng.standard_normal(len(time)))


def _within_silence(samples: npt.NDArray[np.float64]) -> Samples:
    silence = np.zeros(RATE // 2)
    return np.concatenate([silence, samples, silence]).astype(np.float32)
