"""The refusal of an axis whose size nothing settles: where it stands, and the sizes that ran."""

from dataclasses import replace

from carousel.export.errors import ExportRefused
from carousel.export.files.program import OPEN, Port
from carousel.export.reading.fitting import Fitter
from carousel.export.reading.guesses import Guess
from carousel.models.spec import TIME, Axis

_SIZES = (
    *(1, 2, 4, 8, 16, 32, 64, 80, 100, 128, 160, 200, 240, 256, 320, 400, 480, 512, 576, 640),
    *(800, 960, 1024, 1280, 1600, 2048, 3200, 4096),
)


def open_axes(fitter: Fitter, ports: list[Port], guess: Guess, reason: str) -> ExportRefused:
    """The refusal; `guess` is the likeliest reading of the open axes, and `reason` why it fails."""
    port = next(
        (each for each in ports if _open_time(each, guess) is not None),
        next(each for each in ports if each.open_axes),
    )
    place = _open_time(port, guess)
    if place is None:
        listed = ", ".join(each.removeprefix(OPEN) for each in port.open_axes)
        return ExportRefused(
            f"{port.name} leaves axes open ({listed}), and no reading of them runs: {reason}",
            f"say what they are: --input {port.name}:{port.dtype}:AXES",
        )
    sizes = [size for size in _SIZES if _runs(fitter, ports, guess, port.axes[place], size)]
    ran = f"it ran at {', '.join(map(str, sizes))}" if sizes else "it ran at no size tried"
    axes = ["SIZE" if at == place else str(each) for at, each in enumerate(guess.axes[port.name])]
    return ExportRefused(
        f"the file leaves axis {place} of {port.name} open, and nothing settles its size: {ran}; "
        f"as a time axis {reason}",
        f"say its size, context included: --input {port.name}:{port.dtype}:{','.join(axes)}",
    )


def _open_time(port: Port, guess: Guess) -> int | None:
    """Which open axis of the input was read as time."""
    for place, (own, axis) in enumerate(zip(port.axes, guess.axes[port.name], strict=True)):
        if axis == TIME and isinstance(own, str) and own.startswith(OPEN):
            return place
    return None


def _runs(fitter: Fitter, ports: list[Port], guess: Guess, symbol: int | str, size: int) -> bool:
    """Whether the model runs with the open axis `symbol` at one size."""
    axes: dict[str, tuple[Axis, ...]] = {
        port.name: tuple(
            size if own == symbol else axis
            for own, axis in zip(port.axes, guess.axes[port.name], strict=True)
        )
        for port in ports
    }
    folds = {name: fold or 1 for name, fold in guess.folds.items()}
    try:
        fitter.run(replace(guess, axes=axes, folds=folds), 1, 1, fitter.draws())
    except Exception:  # whatever the runtime says: not this size
        return False
    return True
