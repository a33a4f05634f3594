"""Python client of Carousel; everything else is imported from the module that defines it."""

from carousel_client.async_client import AsyncClient
from carousel_client.client import Client

__all__ = ["AsyncClient", "Client"]
