"""What backends of a device have in common: whose program runs there makes no difference to it."""

from collections.abc import Sequence

import torch

from carousel.models.row import Array, RowLayout
from carousel.models.spec import ModelSpec
from carousel.service.backends.host_link import HostLink
from carousel.service.backends.on_device import on_device
from carousel.service.backends.torch_pool import TorchPool


class LinkedBackend:
    """A backend whose states are torch's tensors on the device of a link."""

    def __init__(self, spec: ModelSpec, layout: RowLayout, link: HostLink) -> None:
        self.link = link
        self._spec = spec
        self._layout = layout

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.link.device}>"

    def make_pool(self, num_slots: int) -> TorchPool:
        """A pool on this backend's device."""
        return TorchPool(self._spec, self._layout, num_slots, self.link)

    @on_device
    def place(self, array: Array) -> torch.Tensor:
        """The array as a tensor on this backend's device."""
        return self.link.send(array)

    @on_device
    def join(self, parts: Sequence[torch.Tensor], axis: int) -> torch.Tensor:
        """Tensors one behind the other along `axis`."""
        return torch.cat(list(parts), axis)

    @on_device
    def wait(self) -> None:
        """Wait for all that runs and the pool have begun."""
        self.link.wait()
