"""Which version of Carousel this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The version that was installed; "0" where none was."""
    try:
        return version("carousel-serving")
    except PackageNotFoundError:
        return "0"
