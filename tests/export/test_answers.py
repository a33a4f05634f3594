"""What a module answers is what is described: nothing dropped, and as many steps as are said."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

import tests.export.cases.answers as answers
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError, ExportRefused
from tests.harness.export_run import proven, zeros
from tests.harness.export_served import attempt, serve, stride, whole

X = torch.randn(4, 16, 6, generator=torch.Generator().manual_seed(1))

DROPPED = {
    "normal": r"Normal",
    "normal beside": r"Normal|output\.1",
    "categorical in a dict": r"Categorical|choice",
    "string": r"label",
    "string in a named tuple": r"label|output\.1",
    "float": r"float|output\.1",
    "size": r"\bint\b|output\.1",
    "list of numbers": r"lengths",
}


@pytest.mark.parametrize("form", DROPPED)
def test_what_is_no_tensor_is_not_dropped(form: str) -> None:
    """Refused with its name or its kind, and what to return instead."""
    with pytest.raises(ExportRefused, match=DROPPED[form]) as refused:
        proven(answers.Answers(form), X)
    assert "return" in refused.value.way_out


def test_a_distribution_s_parameters_are_the_way_out() -> None:
    """The refusal says to return the tensors that it is made of."""
    with pytest.raises(ExportRefused) as refused:
        proven(answers.Answers("normal"), X)
    assert any(word in refused.value.way_out for word in ("parameters", "tensors", "loc", "mean"))


def test_an_absent_answer_is_none_to_drop() -> None:
    """None beside a tensor is nothing, and is served as before."""
    module = answers.Answers("none")
    made = proven(module, X)
    assert [each.per for each in made.manifest.spec.outputs] == ["step"]
    with torch.no_grad():
        expected = module(X)[0]
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, X), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["dataclass", "dataclass, half", "object beside"])
def test_an_answer_in_an_object_is_walked_or_refused_by_name(form: str) -> None:
    """Its fields are outputs, all that are tensors; or it is told what to return."""
    torch.manual_seed(3)
    module = answers.Answers(form)
    made = attempt(module, (X,))
    if isinstance(made, ExportError):
        assert "Answer" in str(made) or "Rated" in str(made)
        return
    spec = made.manifest.spec
    assert len(spec.outputs) == (1 if form == "dataclass, half" else 2)
    with torch.no_grad():
        expected = module.fc(module.gru(X)[0])
    for kind in made.manifest.programs:
        found = serve(made, kind, {"x": X}, zeros(made, 4)).outputs
        for output, times in zip(spec.outputs, (1, 2), strict=False):
            torch.testing.assert_close(found[output.name], expected * times, atol=1e-5, rtol=1e-5)


def _rows(steps: int, *, picture: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(steps)
    shape = (3, 1, 8, steps) if picture else (3, steps, 6)
    return torch.randn(shape, generator=generator)


def _agrees(made: Proven, module: nn.Module, picture: bool = False) -> None:
    """At several lengths the output has the described size, and the program the original's."""
    spec = made.manifest.spec
    output = spec.outputs[0]
    assert output.time_axis is not None
    assert spec.has_time
    for steps in (4, 5, 8, 13, 16, 31):
        x = _rows(steps, picture=picture)
        with torch.no_grad():
            expected = module.eval()(x)
        assert tuple(expected.shape) == output.model_shape(3, output.num_steps(steps))
        for kind in made.manifest.programs:
            found = whole(made, kind, x)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


SHORTENED: dict[str, tuple[Callable[[], nn.Module], int, bool]] = {
    "pooled by two": (answers.PoolsByTwo, 2, False),
    "pooled by four": (lambda: answers.PoolsByTwo(4), 4, False),
    "strided convolution": (lambda: answers.Strides(2, 0), 2, False),
    "recogniser": (answers.Recogniser, 4, True),
    "pyramid": (answers.Speech, 2, False),
}


@pytest.mark.parametrize("case", SHORTENED)
@pytest.mark.parametrize("steps", [16, 13])
def test_an_output_for_several_steps_says_for_how_many(case: str, steps: int) -> None:
    """`stride` tells the steps of an output, or the refusal does; the answer has as many."""
    make, by, picture = SHORTENED[case]
    torch.manual_seed(3)
    module = make()
    made = attempt(module, (_rows(steps, picture=picture),))
    if isinstance(made, ExportError):
        assert isinstance(made, ExportRefused)
        assert f"every {by} steps" in str(made) or f"{by} steps" in str(made)
        return
    assert stride(made.manifest.spec.outputs[0]) == by
    assert made.manifest.spec.streaming == "none"
    assert made.manifest.spec.streaming_reason
    _agrees(made, module, picture)


@pytest.mark.parametrize("steps", [8, 16])
def test_pooling_by_more_than_the_sizes_tried_is_seen(steps: int) -> None:
    """A length that gives one step at every nearby length is no fixed output."""
    torch.manual_seed(3)
    module = answers.PoolsByTwo(8)
    made = attempt(module, (_rows(steps),))
    if isinstance(made, ExportError):
        assert isinstance(made, ExportRefused)
        assert "8 steps" in str(made)
        return
    assert stride(made.manifest.spec.outputs[0]) == 8
    for length in (8, 16, 40):
        x = _rows(length)
        with torch.no_grad():
            expected = module(x)
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [lambda: answers.Strides(3, 1), lambda: answers.Strides(3, 0, both=True)],
    ids=["rounded up", "short of the ends"],
)
def test_rounded_up_or_short_of_the_ends_is_described(
    make: Callable[[], nn.Module],
) -> None:
    """A description that says T // 2 would be wrong."""
    torch.manual_seed(3)
    module = make()
    made = attempt(module, (_rows(16),))
    if isinstance(made, ExportError):
        assert isinstance(made, ExportRefused)
        assert "output" in made.reason
        return
    _agrees(made, module)


def test_more_steps_than_came_in_are_refused() -> None:
    """No stride is below one."""
    with pytest.raises(ExportRefused, match="output"):
        proven(answers.Lengthens(), _rows(5))


def test_one_output_a_step_says_nothing_of_it() -> None:
    """The field is absent where it says nothing, so that older manifests are what they were."""
    made = proven(answers.Answers("none"), X)
    assert getattr(made.manifest.spec.outputs[0], "stride", None) in (None, 1)


def test_an_output_as_long_as_values_make_it_is_refused() -> None:
    """Loud inputs give another size than those of the example: nothing could be described."""
    with pytest.raises(ExportRefused, match="output"):
        proven(answers.Finds(), X)


@pytest.mark.parametrize("steps", [200, 163])
def test_strides_are_measured_where_they_begin(steps: int) -> None:
    """Windows of 40 samples every 16: of each length what the module itself makes of it."""
    torch.manual_seed(3)
    module = answers.Audio()
    made = proven(module, torch.randn(2, 1, steps))
    output = made.manifest.spec.outputs[0]
    assert (output.stride, output.offset) == (16, -24)
    for length in (40, 55, 56, 71, 72, 199):
        x = torch.randn(2, 1, length)
        with torch.no_grad():
            expected = module(x)
        assert expected.shape[1] == output.num_steps(length)
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-5, rtol=1e-5)


def test_a_length_that_nothing_describes_can_be_fixed_as_the_refusal_says() -> None:
    """With the axes that it prints the same module is served at the example's length."""
    torch.manual_seed(3)
    module = answers.Doubles()
    with pytest.raises(ExportRefused, match="output") as refused:
        proven(module, X)
    assert "axes={'x': ('batch', 16, 6)} (--axes x=batch,16,6)" in refused.value.way_out
    made = proven(module, X, axes={"x": ("batch", 16, 6)})
    for kind in made.manifest.programs:
        with torch.no_grad():
            expected = module(X)
        torch.testing.assert_close(whole(made, kind, X), expected, atol=1e-5, rtol=1e-5)


def test_steps_that_are_left_off_are_described() -> None:
    """Of T steps come T - 4, at every length that gives any."""
    torch.manual_seed(3)
    module = answers.Trims()
    made = proven(module, X)
    spec = made.manifest.spec
    assert (spec.outputs[0].stride, spec.outputs[0].offset, spec.min_sequence) == (1, -4, 5)
    for kind, steps in itertools.product(made.manifest.programs, (5, 6, 30)):
        x = torch.randn(2, steps, 6)
        with torch.no_grad():
            expected = module(x)
        torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-5, rtol=1e-5)
