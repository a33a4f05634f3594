"""What a refusal says first works as it stands, blames nothing that nobody did, and is in plain
words.
"""

import re
from pathlib import Path

import pytest

from tests.export.imported.advice import first_advice, flags_in, follow, reason, way_out
from tests.export.imported.foreign import strides as foreign_strides
from tests.export.imported.foreign.doubtful import DOUBTFUL, Doubtful
from tests.export.imported.foreign.lengths import Layer
from tests.export.imported.foreign.pairs import cell_of_states, one_state
from tests.export.imported.outcome import Outcome, run_import
from tests.export.imported.refused_models import hostile, swappable

# What clients of recognisers and denoisers send, as their files call it.
HEARD = (
    *("audio", "waveform", "wav", "speech", "signal", "pcm", "mel", "features", "frames", "frame"),
    *("input", "x", "noisy", "spectrogram"),
)
SAID = ("text", "scores", "logits", "probs", "output")

RAW = re.compile(
    r"\[ONNXRuntimeError\]|Non-zero status|INVALID_ARGUMENT|onnxruntime_src|Status Message|"
    r"following operation failed|Traceback|RuntimeError"
)

REFUSED = {name: each.make for name, each in DOUBTFUL.items()} | {
    "names that tell nothing": lambda: hostile("state_a", "state_b", "state_c"),
    "nothing but states": lambda: cell_of_states({"h": "hn", "c": "cn"}),
    "one state and nothing else": lambda: cell_of_states({"h": "hn"}),
    "lengths": lambda: Layer("LSTM", states=True).data(),
    "lengths, both ways": lambda: Layer("GRU", states=True, directions=2).data(),
    "swappable": lambda: swappable("p", "q"),
    "more steps": foreign_strides.longer,
    "half the steps, and one": foreign_strides.rounded_up,
}


def pairs(outcome: Outcome) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in outcome.artifact.manifest.spec.states}


def sent(outcome: Outcome) -> set[str]:
    """What clients send."""
    return {each.name for each in outcome.artifact.manifest.spec.sent_inputs}


def check_truth(outcome: Outcome, doubtful: Doubtful) -> None:
    """The artifact is what the file is."""
    assert outcome.code == 0, outcome.said
    assert pairs(outcome) == doubtful.states
    assert sent(outcome) == doubtful.sent
    spec = outcome.artifact.manifest.spec
    if doubtful.outputs:
        assert tuple(each.name for each in spec.outputs) == doubtful.outputs


@pytest.mark.parametrize("name", DOUBTFUL)
def test_the_first_way_out_works(tmp_path: Path, name: str) -> None:
    """Followed to the letter, each refusal names a further flag, and three are enough."""
    doubtful = DOUBTFUL[name]
    followed = follow(tmp_path, doubtful.make(), *doubtful.flags)
    check_truth(followed.outcome, doubtful)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_the_first_way_out_works_for_one_row(tmp_path: Path, name: str) -> None:
    """The same for one who began with --no-batch, who is not told to say it."""
    doubtful = DOUBTFUL[name]
    followed = follow(tmp_path, doubtful.make(), *doubtful.flags, "--no-batch")
    assert ("--no-batch",) not in followed.rounds
    check_truth(followed.outcome, doubtful)
    assert not followed.outcome.artifact.manifest.spec.has_batch


@pytest.mark.parametrize("name", REFUSED)
def test_no_batch_is_not_proposed_to_one_who_said_it(tmp_path: Path, name: str) -> None:
    """Whatever else is wrong."""
    given = DOUBTFUL[name].flags if name in DOUBTFUL else ()
    assert "--no-batch" not in run_import(tmp_path, REFUSED[name](), *given, "--no-batch").said


@pytest.mark.parametrize("flags", [(), ("--no-batch",)], ids=["", "one row"])
@pytest.mark.parametrize("name", REFUSED)
def test_no_flag_is_blamed_that_nobody_gave(
    tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    """The reason of a refusal names what was found in the file; code 3 is for what was said."""
    found = run_import(tmp_path, REFUSED[name](), *flags)
    assert found.code in (0, 1), found.said
    if found.code == 1:
        assert set(flags_in(reason(found.said))) <= set(flags)


@pytest.mark.parametrize("name", REFUSED)
def test_a_way_out_names_one_thing_first(tmp_path: Path, name: str) -> None:
    """A flag with its value, and no blank in it that the file itself could fill."""
    given = DOUBTFUL[name].flags if name in DOUBTFUL else ()
    found = run_import(tmp_path, REFUSED[name](), *given)
    if found.code == 1:
        assert first_advice(found.said), way_out(found.said)


@pytest.mark.parametrize("name", REFUSED)
def test_no_runtime_speaks_for_itself(tmp_path: Path, name: str) -> None:
    """Its words are told in ours, with and without flags; no batch has no rows."""
    for flags in ((), ("--no-batch",), ("--output", "y")):
        found = run_import(tmp_path, REFUSED[name](), *flags)
        assert not RAW.search(found.said), found.said
        assert "B=0" not in found.said
        assert "T=0" not in found.said


@pytest.mark.parametrize("name", HEARD)
def test_what_is_heard_is_no_state(tmp_path: Path, name: str) -> None:
    """A recogniser of frames: its audio has the shape of its text, and is never said to be kept."""
    data = one_state("p", "q", answer="text", sent=name)
    first = run_import(tmp_path, data)
    assert f"--state {name}=" not in first.said
    followed = follow(tmp_path, data)
    assert all(f"{name}=" not in flag for each in followed.rounds for flag in each)
    assert sent(followed.outcome) == {name}
    assert pairs(followed.outcome) == {"p": "q"}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_is_no_new_state(tmp_path: Path, name: str) -> None:
    """Nor is its text the new value of anything, where another output is left."""
    data = one_state("p", "q", answer=name, sent="audio")
    followed = follow(tmp_path, data)
    assert pairs(followed.outcome) == {"p": "q"}


def test_audio_beside_a_state_that_is_called_so_is_no_doubt(tmp_path: Path) -> None:
    """Nothing is to be said: one is called a state, and the other is heard."""
    data = one_state("state", "out", answer="text", sent="audio")
    followed = follow(tmp_path, data)
    assert followed.rounds in ((), (("--state", "state=out"),))
    assert pairs(followed.outcome) == {"state": "out"}


def test_a_recogniser_over_time_is_proved_by_running(tmp_path: Path) -> None:
    """Where there are chunks to run, nothing is asked."""
    found = run_import(tmp_path, swappable("text_state", "other"))
    assert found.code == 0, found.said
    assert pairs(found) == {"h": "text_state", "c": "other"}
