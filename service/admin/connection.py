"""The connection that flags and environment name: address, key, patience."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from carousel.service.admin.address import parse_address
from carousel.service.admin.client import Client
from carousel.service.admin.failure import Usage

DEFAULT_URL = "http://127.0.0.1:8000"
# Above the deadline of the service, 30 s by default, so that its own answer comes first.
DEFAULT_TIMEOUT_S = 60.0

_URL = "CAROUSEL_URL"
_KEY = "CAROUSEL_API_KEY"
_KEY_FILE = "CAROUSEL_API_KEY_FILE"


def connect(options: argparse.Namespace, environ: Mapping[str, str]) -> Client:
    """A client, which connects at its first call; raises Usage."""
    address = parse_address(options.url or environ.get(_URL) or DEFAULT_URL)
    timeout_s = DEFAULT_TIMEOUT_S if options.timeout is None else options.timeout
    return Client(address, _key(options.api_key_file, environ), timeout_s)


def _key(flag: Path | None, environ: Mapping[str, str]) -> str:
    """The key, empty where none is given. A file named by flag counts more than a variable."""
    key, source, file = environ.get(_KEY, ""), _KEY, flag
    if file is None and not key and environ.get(_KEY_FILE):
        file = Path(environ[_KEY_FILE])
    if file is not None:
        source = str(file)
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise Usage(f"the key file {file} cannot be read as text") from None
        if not key:
            raise Usage(f"the key file {file} holds no key")
    if not all("!" <= letter <= "~" for letter in key):
        raise Usage(f"{source}: a key is made of visible ASCII characters")
    return key
