"""Which libraries there are, and which of them share an environment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Library:
    """A package of the registry and the module of its cases. `needs`: what it takes besides to be
    imported; enough for that where its own requirements do not go with the pinned packages.
    `without`: folders of it that are not there for a CPU torch, and that no module needs.
    """

    package: str
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def cases(self) -> str:
        """The module that defines CASES."""
        return "benchmarks.field.groups." + self.package.lower().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Group:
    """Libraries that are installed into one environment."""

    name: str
    libraries: tuple[Library, ...]


GROUPS = (
    Group(
        "cells",
        (
            Library("ncps"),
            Library("snntorch"),
            Library("minGRU-pytorch"),
            Library("mambapy"),
        ),
    ),
    Group(
        "audio",
        # The registry's torchaudio loads libraries of CUDA, and goes without where there are none.
        (
            Library("torchaudio", without=("torchaudio/lib",)),
            Library("speechbrain"),
            Library("Resemblyzer", needs=("webrtcvad-wheels",)),
        ),
    ),
    Group("control", (Library("sb3-contrib"), Library("torchrl"))),
    Group("fastai", (Library("fastai"), Library("tsai"))),
    Group("pytorch-forecasting", (Library("pytorch-forecasting"),)),
    Group("darts", (Library("darts", needs=("pytorch-lightning", "tensorboardX")),)),
    Group("neuralforecast", (Library("neuralforecast"),)),
    Group("gluonts", (Library("gluonts", needs=("lightning", "scipy")),)),
    Group("neuralhydrology", (Library("neuralhydrology"),)),
    Group("xlstm", (Library("xlstm"),)),
)

LIBRARIES = {library.package: library for group in GROUPS for library in group.libraries}
