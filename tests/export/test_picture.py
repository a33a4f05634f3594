"""The picture of a state graph: what stands in it, where, and what it makes of odd names."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
from carousel.export.__main__ import main
from carousel.models.manifest import Manifest
from carousel.models.picture import state_graph
from carousel.models.repository import Repository
from tests.export.cases.fixed import FULL, MEMORY, Attends, H, X
from tests.export.imported.foreign.models import FOREIGN
from tests.harness.export_run import proven
from tests.harness.recorded import RECORDED

SVG = "{http://www.w3.org/2000/svg}"
ODD = "a<b> & \"c\" 'd' \x01 名前 " + "long." * 20


@dataclass(frozen=True)
class Rectangle:
    """A box as it is drawn."""

    x: int
    y: int
    width: int
    height: int

    def meets(self, other: "Rectangle") -> bool:
        """Whether some of the one is inside of the other; edges may touch."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def thick(self) -> "Rectangle":
        """What a line covers."""
        return replace(self, width=self.width + 1, height=self.height + 1)


@cache
def _manifest(name: str) -> Manifest:
    """One manifest of each kind; `many` and `odd` are made of one that was recorded."""
    torch.manual_seed(1)
    if name == "head":
        return proven(zoo.Explicit(), X).manifest
    if name == "both ends":
        return proven(nn.GRU(6, 8, bidirectional=True), X).manifest
    if name == "frame":
        return proven(zoo.HandWrittenCell(), X[:, 0], H[0]).manifest
    if name == "fixed":
        return proven(Attends(), X, H, MEMORY, FULL, fixed=("memory", "length")).manifest
    if name == "stateless":
        return proven(heads.Perceptron(), X[:, 0]).manifest
    found = Repository(RECORDED / "models").open("reverse-decoder").manifest
    spec, renamed = found.spec, ODD if name == "odd" else "x"
    inputs = tuple(replace(spec.inputs[0], name=f"{renamed}{each}") for each in range(9))
    outputs = (replace(spec.outputs[0], name=f"{renamed}_out"),)
    states = tuple(
        replace(spec.states[each % 4], name=f"{renamed}.{each}", output=f"{ODD}{each}")
        for each in range(11)
    )
    changed = replace(spec, inputs=inputs, outputs=outputs, states=states)
    return replace(found, spec=changed, origins={states[0].name: f"{ODD}; starts at zeros"})


NAMES = ("head", "both ends", "frame", "fixed", "stateless", "many", "odd")
every = pytest.mark.parametrize("name", NAMES)


def _drawn(manifest: Manifest) -> ET.Element:
    return ET.fromstring(state_graph(manifest))


def _parts(page: ET.Element, *kinds: str) -> Iterator[ET.Element]:
    for each in page.findall(f"{SVG}g"):
        if not kinds or each.get("class") in kinds:
            yield each


def _full(words: ET.Element) -> str:
    """A sentence, in full where it is drawn cut."""
    title = words.find(f"{SVG}title")
    lines = [each.text or "" for each in words.findall(f"{SVG}text")]
    return " ".join(lines) if title is None else title.text or ""


def _name(part: ET.Element) -> str:
    (words,) = part.findall(f"{SVG}g[@class='name']")
    return _full(words)


def _rectangle(part: ET.Element) -> Rectangle:
    (found,) = part.findall(f"{SVG}rect")
    return Rectangle(*(int(found.attrib[each]) for each in ("x", "y", "width", "height")))


def _arrows(part: ET.Element) -> list[list[tuple[int, int]]]:
    found = [each.attrib["points"].split() for each in part.findall(f"{SVG}polyline")]
    return [[(int(x), int(y)) for x, y in (each.split(",") for each in one)] for one in found]


def _runs(arrow: list[tuple[int, int]]) -> list[Rectangle]:
    """The straight pieces of an arrow."""
    return [
        Rectangle(min(a[0], b[0]), min(a[1], b[1]), abs(a[0] - b[0]), abs(a[1] - b[1]))
        for a, b in pairwise(arrow)
    ]


@every
def test_each_tensor_is_drawn_once(name: str) -> None:
    """By its name, as what it is, whatever signs stand in the name."""
    spec = _manifest(name).spec
    page = _drawn(_manifest(name))
    for kind, tensors in (("input", spec.inputs), ("output", spec.outputs), ("state", spec.states)):
        wanted = Counter(each.name.replace("\x01", "\ufffd") for each in tensors)
        assert Counter(map(_name, _parts(page, kind))) == wanted
    assert [_name(each) for each in _parts(page, "model")] == [_manifest(name).name]


@every
def test_a_state_that_a_session_steps_is_a_loop(name: str) -> None:
    """Out of the model and back into it; others only go in."""
    spec = _manifest(name).spec
    page = _drawn(_manifest(name))
    (model,) = map(_rectangle, _parts(page, "model"))
    for state, part in zip(spec.states, _parts(page, "state"), strict=True):
        box, arrows = _rectangle(part), _arrows(part)
        assert len(arrows) == (2 if spec.is_streamable and not state.fixed else 1)
        assert arrows[-1][0] == (box.x + box.width, box.y + box.height // 2)
        assert arrows[-1][-1][1] == model.y + model.height
        for out in arrows[:-1]:
            assert out[0][1] == model.y + model.height
            assert out[-1] == (box.x, box.y + box.height // 2)
        assert all(model.x < x < model.x + model.width for x in (each[1][0] for each in arrows))


@every
def test_nothing_lies_on_anything(name: str) -> None:
    """Boxes are on the page and apart; no arrow meets one, or another arrow."""
    page = _drawn(_manifest(name))
    _, _, width, height = map(int, page.attrib["viewBox"].split())
    boxes = [_rectangle(each) for each in _parts(page)]
    arrows = [_runs(arrow) for each in _parts(page) for arrow in _arrows(each)]
    for place, box in enumerate(boxes):
        assert min(box.x, box.y) > 0
        assert box.x + box.width < width
        assert box.y + box.height < height
        assert not any(box.meets(other) for other in boxes[place + 1 :])
        assert not any(box.meets(run) for arrow in arrows for run in arrow)
    for one, other in combinations(arrows, 2):
        assert not any(run.thick().meets(each.thick()) for run in one for each in other)


@every
def test_words_stay_in_their_box(name: str) -> None:
    """Each line between the edges, at the width of a letter of the font, or of two."""
    for part in _parts(_drawn(_manifest(name))):
        box = _rectangle(part)
        for line in part.iter(f"{SVG}text"):
            letters = sum(
                2 if each > "\u2fff" and each != "\ufffd" else 1 for each in line.text or ""
            )
            assert box.x < int(line.attrib["x"])
            assert int(line.attrib["x"]) + letters * 8 < box.x + box.width
            assert box.y < int(line.attrib["y"]) - 12 < int(line.attrib["y"]) < box.y + box.height


@every
def test_it_is_told_to_those_who_do_not_see_it(name: str) -> None:
    """A title, a description; and it is the same each time."""
    manifest = _manifest(name)
    page = _drawn(manifest)
    assert page.get("role") == "img"
    assert (page[0].tag, page[1].tag) == (f"{SVG}title", f"{SVG}desc")
    assert manifest.name in (page[0].text or "")
    assert "Inputs: " in (page[1].text or "")
    assert state_graph(manifest) == state_graph(manifest)


def test_the_middle_says_what_the_model_is() -> None:
    """One step, streaming and why not, batches, programs; states say where they start."""
    ends, frame, fixed = (" ".join(_drawn(_manifest(each)).itertext()) for each in NAMES[1:4])
    plain = [re.sub(r"\s+", " ", each) for each in (ends, frame, fixed)]
    assert "whole sequences only (it is bidirectional: it reads a sequence from both" in plain[0]
    assert "no session keeps it" in plain[0]
    assert "one frame, one call of the program" in plain[1]
    assert "starts at zeros comes back as h_out" in plain[1]
    assert "rows of strangers share a run" in plain[1]
    assert "onnx (error " in plain[1]
    assert plain[2].count("never changes") == 2


def test_inspect_draws_a_file_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the JSON, which says where; a picture of before is no file to be looked at."""
    foreign = FOREIGN["predictor"]()
    path, picture = foreign.write(tmp_path), tmp_path / "p.svg"
    for _ in range(2):
        given = [str(path), *foreign.flags, "--json", "--svg", str(picture)]
        assert main(["inspect", *given]) == 0
        assert f"but the picture in {picture}" in json.loads(capsys.readouterr().out)["next"]
    page = ET.parse(picture).getroot()
    assert [_name(each) for each in _parts(page)] == ["model", "targets", "logits", "h", "c"]


def test_inspect_draws_a_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With weights from a file, and over a picture of before."""
    picture, weights = tmp_path / "p.svg", tmp_path / "w.pt"
    picture.write_text("of before")
    torch.save({}, weights)
    given = ["torch.nn:Identity", "--input", "input=2,4", "--weights", str(weights)]
    assert main(["inspect", *given, "--svg", str(picture)]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["next", "nothing"]
    assert _name(next(_parts(ET.parse(picture).getroot()))) == "model"


@pytest.mark.parametrize("place", ["", "nowhere/p.svg"])
def test_a_place_that_cannot_be_written_is_a_bad_value(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before the model is run, in one sentence."""
    given = ["inspect", "torch.nn:Identity", "--input", "input=2,4"]
    assert main([*given, "--svg", str(tmp_path / place)]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"carousel-export: --svg: {tmp_path / place} cannot be written (")
    assert len(said.splitlines()) == 1
