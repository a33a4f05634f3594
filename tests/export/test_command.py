"""`carousel-export`: what it takes, what it says, how it leaves."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from carousel.export.__main__ import main
from carousel.models.repository import Repository
from carousel.models.zoo.catalog import REFERENCES
from carousel.service.settings import Settings
from tests.export.cases.heads import Tagger

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]

class Random(Net):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)

class Offered(Net):
    example_inputs = (torch.randn(4, 5, 6),)

def nothing():
    return None
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of models in it, and nothing else on the way."""
    (tmp_path / "my_nets.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def _export(*arguments: str) -> int:
    return main([*arguments, "--model-repository", "repository", "--quiet"])


def test_a_factory_is_exported_by_name(workplace: Path) -> None:
    """Factory, name and example are enough."""
    assert _export("my_nets:Net", "--name", "net", "--input", "x=4,5,6") == 0
    artifact = Repository(workplace / "repository").open("net")
    assert artifact.manifest.spec.inputs[0].axes == ("batch", "time", 6)


def test_weights_are_loaded(workplace: Path) -> None:
    """The exported state's identity is that of the weights in the file."""
    net = torch.nn.LSTM(6, 8, batch_first=True)
    torch.save({f"lstm.{name}": each for name, each in net.state_dict().items()}, "w.pt")
    for _ in range(2):
        code = _export(*("my_nets:Net", "--name", "net", "--input", "x=4,5,6", "--weights", "w.pt"))
        assert code == 0
    repository = Repository(workplace / "repository")
    first, second = repository.open("net", 1), repository.open("net", 2)
    assert first.manifest.state_id == second.manifest.state_id


def test_an_example_may_be_offered_by_the_module(workplace: Path) -> None:
    """Without --input its `example_inputs` are taken."""
    assert _export("my_nets:Offered", "--name", "net") == 0
    assert Repository(workplace / "repository").names() == ["net"]


def test_token_inputs_are_made_of_ids_that_the_embedding_knows(workplace: Path) -> None:
    """`tokens:int64=5,15` gives an example that runs."""
    assert Tagger().embed.num_embeddings == 11
    code = _export(
        *("tests.export.cases.heads:Tagger", "--name", "tagger"),
        *("--input", "tokens:int64=4,15", "--input", "speaker=4,3"),
    )
    assert code == 0
    spec = Repository(workplace / "repository").open("tagger").manifest.spec
    assert (spec.inputs[0].low, spec.inputs[0].high) == (0, 10)


def test_a_refused_export_leaves_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason and the way out are on standard error."""
    assert _export("my_nets:Random", "--name", "net", "--input", "x=4,5,6") == 1
    said = capsys.readouterr().err
    assert "refused: two runs on the same input differ" in said
    assert "Way out: " in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "net"], "package.module:factory is missing"),
        (["my_nets:Net", "--input", "x=4,5,6"], "--name is missing"),
        (["my_nets", "--name", "net"], "is not package.module:factory"),
        (["no_nets:Net", "--name", "net"], "cannot be imported"),
        (["my_nets:Nyet", "--name", "net"], "cannot be imported"),
        (["my_nets:nothing", "--name", "net"], "an nn.Module is expected, not NoneType"),
        (["my_nets:Net", "--name", "a/b", "--input", "x=4,5,6"], "cannot be a model's name"),
        (["my_nets:Net", "--name", "net"], "--input is missing"),
        (["my_nets:Net", "--name", "net", "--input", "x"], "'x' is not NAME=SIZES"),
        (["my_nets:Net", "--name", "net", "--input", "x=4,0,6"], "is not NAME=SIZES"),
        (["my_nets:Net", "--name", "net", "--input", "x:int3=4"], "'int3' is not one of"),
        (["my_nets:Net", "--name", "net", "--input", "y=4,5,6"], "no parameter 'y'"),
        (["my_nets:Offered", "--name", "n", "--weights", "none.pt"], "none.pt cannot be read"),
        (["my_nets:Offered", "--name", "n", "--weights", "my_nets.py"], "weights alone"),
        (["--zoo", "unicorn"], "'unicorn' is not one of all, lstm-10-20-2"),
    ],
)
def test_bad_values_leave_with_three_and_their_name(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each says which value was wrong and what was expected."""
    assert _export(*arguments) == 3
    assert words in capsys.readouterr().err


def test_unknown_flags_leave_with_three(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the same whichever value was bad."""
    with pytest.raises(SystemExit) as left:
        main(["--no-such-flag"])
    assert left.value.code == 3
    assert "error" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """--help reads well: examples first tried are those that are printed."""
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "--input tokens:int64=5,15" in said
    assert all(name in said for name in REFERENCES)


@pytest.mark.parametrize("command", [[], ["import"], ["check"]])
def test_help_names_the_folder_that_is_served(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What an example writes or checks is where carousel-serve and make serve look."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    named = re.findall(r"[a-z-]*model[a-z]*-repository(?=[\s/])", capsys.readouterr().out)
    folders = {each for each in named if not each.startswith("--")}
    assert folders == {str(Settings().model_repository)}


def test_a_reference_model_is_exported_once_when_missing(workplace: Path) -> None:
    """--if-missing fills what is not there and leaves alone what is."""
    for _ in range(2):
        assert _export("--zoo", "gru-10-20-2", "--if-missing") == 0
    repository = Repository(workplace / "repository")
    assert repository.versions("gru-10-20-2") == [1]
    assert _export("--zoo", "gru-10-20-2") == 0
    assert repository.versions("gru-10-20-2") == [1, 2]


MEMORY = """
import torch
from torch import nn

class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.write, self.fc = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x, kept):
        now = 0.9 * kept + torch.tanh(self.write(x))
        return self.fc(now), now
"""
REMEMBERS = ("my_memory:Remembers", "--name", "net", "--input", "x=5,6", "--input", "kept=5,8")


@pytest.fixture
def memory(workplace: Path) -> Path:
    """A module with a state that nothing calls one."""
    (workplace / "my_memory.py").write_text(MEMORY)
    return workplace


def test_what_a_refusal_says_to_type_works(
    memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways out of the question whether a parameter is a state."""
    assert _export(*REMEMBERS) == 1
    said = capsys.readouterr().err
    for flags, states in ((["--state", "kept"], ["kept"]), (["--no-states"], [])):
        assert f"({' '.join(flags)})" in said
        assert _export(*REMEMBERS, *flags) == 0
        spec = Repository(memory / "repository").open("net").manifest.spec
        assert [each.name for each in spec.states] == states


def test_a_state_is_paired_and_its_axes_are_stated(memory: Path) -> None:
    """By the place among what forward returns."""
    flags = ("--state", "kept=1", "--axes", "kept=batch,8", "--tolerance", "1e-4")
    assert _export(*REMEMBERS, *flags) == 0
    manifest = Repository(memory / "repository").open("net").manifest
    assert manifest.spec.states[0].axes == ("batch", 8)
    assert {each.tolerance for each in manifest.programs.values()} == {1e-4}


def test_json_stands_alone_on_standard_output(
    memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For scripts: the screen goes to standard error."""
    assert _export("my_nets:Net", "--name", "net", "--input", "x=4,5,6", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["streaming"], found["version"]) == ("net", "step", 1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--state", "=1"), "--state: '=1' is not NAME or NAME=OUTPUT"),
        (("--state", "kept=7"), "forward returns no '7' for 'kept'; it returns 0, now"),
        (("--state", "keep"), "states: forward has no parameter 'keep'"),
        (("--axes", "x"), "--axes: 'x' is not NAME=AXES"),
        (("--axes", "x=b,6"), "'b' in 'x' is neither a size nor 'batch' nor 'time'"),
        (("--tolerance", "x"), "--tolerance: 'x' is not a number"),
        (("--tolerance", "nan"), "tolerance: nan is not above 0"),
    ],
)
def test_a_bad_flag_of_a_state_is_named(
    memory: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], words: str
) -> None:
    """Exit code 3, and what was expected."""
    assert _export(*REMEMBERS, *flags) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_a_host_without_the_extra_is_told_what_to_install(missing: str) -> None:
    """One sentence with the way out, as on the image that only serves."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from carousel.export.__main__ import main; sys.exit(main(['check', 'models/x']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 3
    [line] = found.stderr.splitlines()
    assert line.startswith(f"carousel-export: {missing} is not installed. Way out: pip install")
