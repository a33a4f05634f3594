"""A link to a device that is as late as one can be, on the CPU."""

import torch

from carousel.models.row import Array
from carousel.service.backends.host_link import HostLink


class LateLink(HostLink):
    """What it fetches is garbage until `wait`, and is only then read from where it lay.

    So whoever reads too early, or writes over what is still to be read, is found out.
    """

    def __init__(self) -> None:
        super().__init__("cpu", staged=True)
        self._late: list[tuple[torch.Tensor, torch.Tensor]] = []

    def fetch(self, tensor: torch.Tensor) -> Array:
        """Bytes 0xff, which are NaN in every floating-point type."""
        host = torch.empty(tensor.shape, dtype=tensor.dtype)
        if tensor.dtype != torch.bool:
            host.view(-1).view(torch.uint8).fill_(0xFF)
        else:
            host.fill_(False)
        self._late.append((host, tensor))
        array: Array = host.numpy()
        return array

    def wait(self) -> None:
        """Now they come."""
        with torch.inference_mode():  # as some of them were made
            for host, tensor in self._late:
                host.copy_(tensor)
        self._late.clear()
        super().wait()
