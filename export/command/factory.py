"""What the command line names: a factory, a file of weights, example inputs."""

import importlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from carousel.export.adapters.holder import module_of
from carousel.export.command.values import InvalidValue
from carousel.export.errors import InvalidRequest

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float16, torch.float32, torch.float64, torch.bool),
        *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8),
    )
}


@dataclass(frozen=True, slots=True)
class NamedInput:
    """One --input: its name, dtype and the sizes of the example."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What to export: the module with its weights, and the example for `forward`."""

    name: str
    module: nn.Module
    example: object


def parse_input(text: str) -> NamedInput:
    """`x=5,15,10` or `tokens:int64=5,15`; raises InvalidValue on anything else."""
    head, equals, tail = text.partition("=")
    name, _, dtype = head.partition(":")
    try:
        sizes = tuple(int(size) for size in tail.split(",") if size.strip())
    except ValueError:
        sizes = ()
    if not equals or not name.isidentifier() or not sizes or min(sizes) < 1:
        raise InvalidValue(f"--input: {text!r} is not NAME=SIZES, such as x=5,15,10")
    if dtype and dtype not in _DTYPES:
        raise InvalidValue(f"--input: {dtype!r} is not one of {', '.join(_DTYPES)}")
    return NamedInput(name, _DTYPES[dtype or "float32"], sizes)


def load_target(
    factory: str, name: str, weights: str | None, inputs: Sequence[NamedInput]
) -> Target:
    """Call the factory, load the weights, make the example; raises InvalidValue."""
    module = _make(factory)
    if weights is not None:
        _load(module, Path(weights))
    if not inputs:
        example = getattr(module, "example_inputs", None)
        if example is None:
            raise InvalidValue("--input is missing: name forward's inputs and their sizes")
        return Target(name, module, example)
    known = inspect.signature(module.forward).parameters
    for each in inputs:
        if each.name not in known:
            raise InvalidValue(
                f"--input: forward has no parameter {each.name!r}, it takes {', '.join(known)}"
            )
    generator = torch.Generator().manual_seed(0)
    high = _vocabulary(module)
    return Target(name, module, {i.name: _example(i, generator, high) for i in inputs})


def _make(factory: str) -> nn.Module:
    path, colon, attribute = factory.partition(":")
    if not colon or not path or not attribute:
        raise InvalidValue(f"{factory!r} is not package.module:factory")
    # As with `python -m`: what lies in the working folder can be named.
    sys.path.insert(0, "")
    try:
        found = importlib.import_module(path)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the user's code does while it is imported
        raise InvalidValue(f"{factory!r} cannot be imported: {_said(error)}") from error
    finally:
        sys.path.remove("")
    try:
        made = found if isinstance(found, nn.Module) else found()  # type: ignore[operator]
    except Exception as error:  # whatever the user's code does when it is called
        raise InvalidValue(
            f"{factory!r} cannot be called without arguments: {_said(error)}"
        ) from error
    try:
        return module_of(made).module
    except InvalidRequest as error:
        raise InvalidValue(f"{factory!r}: {error}") from None


def _load(module: nn.Module, path: Path) -> None:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InvalidValue(f"--weights: {path} cannot be read ({error.strerror})") from None
    except Exception:  # whatever torch makes of what is in the file
        raise InvalidValue(
            f"--weights: {path} is not a file of weights alone, such as "
            "torch.save(module.state_dict(), path) writes"
        ) from None
    weights: Any = _of_lightning(module, held)
    _refuse_checkpoint(path, weights)
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise InvalidValue(f"--weights: {path} does not fit the module: {text}") from None


def _of_lightning(module: nn.Module, weights: object) -> object:
    """The weights in a checkpoint of Lightning; without the name that the module has inside of the
    one that was trained, if that makes them fit.
    """
    if not isinstance(weights, dict) or "pytorch-lightning_version" not in weights:
        return weights
    found, own = weights["state_dict"], module.state_dict().keys()
    for name in dict.fromkeys(f"{key.partition('.')[0]}." for key in found):
        inner = {key[len(name) :]: each for key, each in found.items() if key.startswith(name)}
        if inner.keys() == own:
            return inner
    return found


def _refuse_checkpoint(path: Path, weights: object) -> None:
    """A dict that holds a state_dict among other things is no state_dict."""
    if not isinstance(weights, dict):
        raise InvalidValue(f"--weights: {path} holds {type(weights).__name__}, not a state_dict")
    inner = [key for key, value in weights.items() if isinstance(value, dict)]
    if inner:
        raise InvalidValue(
            f"--weights: {path} is a checkpoint of {', '.join(map(repr, weights))}; save the "
            f"state_dict alone, which may be what {inner[0]!r} holds"
        )


def _said(error: Exception) -> str:
    """The first line of the user's own error, and the kind of it where that is not plain."""
    text = (str(error).splitlines() or [""])[0]
    plain = isinstance(error, (ImportError, AttributeError))
    return text if plain else f"{type(error).__name__}: {text}"


def _example(wanted: NamedInput, generator: torch.Generator, high: int) -> torch.Tensor:
    if wanted.dtype.is_floating_point:
        return torch.randn(wanted.sizes, generator=generator).to(wanted.dtype)
    if wanted.dtype == torch.bool:
        return torch.ones(wanted.sizes, dtype=torch.bool)
    return torch.randint(0, high, wanted.sizes, generator=generator).to(wanted.dtype)


def _vocabulary(module: nn.Module) -> int:
    """How many token ids are safe in an example: those that every embedding knows."""
    sizes = [each.num_embeddings for each in module.modules() if isinstance(each, nn.Embedding)]
    return min(sizes, default=2)
