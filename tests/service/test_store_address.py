"""Where sessions are kept: what an address means, and that no password is shown."""

from pathlib import Path

import pytest

from carousel.service.errors import SettingError
from carousel.service.load_settings import load_settings
from carousel.service.store_address import StoreAddress, parse_address

# Not a word of any message.
SECRET = "Zx9qVv7w"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory", StoreAddress(kind="memory")),
        ("sqlite", StoreAddress(kind="sqlite")),
        ("sqlite:a b.db", StoreAddress(kind="sqlite", file=Path("a b.db"))),
        ("sqlite:/var/x.sqlite", StoreAddress(kind="sqlite", file=Path("/var/x.sqlite"))),
        ("redis://h", StoreAddress(kind="redis", url="redis://h")),
        ("redis://h:6380/2", StoreAddress(kind="redis", url="redis://h:6380/2")),
        ("rediss://u@[::1]:1/", StoreAddress(kind="redis", url="rediss://u@[::1]:1/")),
        ("unix:///run/r.sock?db=1", StoreAddress(kind="redis", url="unix:///run/r.sock?db=1")),
    ],
)
def test_address_is_read(text: str, expected: StoreAddress) -> None:
    """Each form means its store, and is written again as it was."""
    assert parse_address(text) == expected
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "url", "password"),
    [
        (f"redis://:{SECRET}@h:1/0", "redis://h:1/0", SECRET),
        (f"rediss://me:{SECRET}@h", "rediss://me@h", SECRET),
        (f"unix://:{SECRET}@/run/r.sock", "unix:///run/r.sock", SECRET),
        ("redis://:%40%2F%3A@h", "redis://h", "@/:"),
        ("redis://me:a:b@h", "redis://me@h", "a:b"),
    ],
)
def test_password_leaves_the_address(text: str, url: str, password: str) -> None:
    """A password goes where it is not shown, decoded; the user's name stays."""
    address = parse_address(text)
    assert (address.url, address.password) == (url, password)
    assert password not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "redis",
        "disk",
        "",
        "Memory",
        "memory:",
        "sqlite:",
        # As others write it: three slashes are a relative path there.
        "sqlite:///x.db",
        "redis://",
        "redis://:1",
        "redis://h:x",
        "redis://h:0",
        "redis://h:65536",
        "redis://h/zero",
        "redis://h#1",
        "unix://",
        "unix:///",
        "unix://h/run/r.sock",
        f"redis://:{SECRET}/@h",
        f"redis://:{SECRET}#@h",
        f"redis://:{SECRET}?@h",
        f"redis://:{SECRET}@h:x",
        f"redis://:{SECRET}@",
        f"redis://h?password={SECRET}",
        f"redis://h?ssl_Password={SECRET}",
        f"redis:/:{SECRET}@h",
        f"redis:{SECRET}@h",
        f"valkey://:{SECRET}@h",
        f"REDIS://:{SECRET}@h",
        f"sqlite://:{SECRET}@h",
    ],
)
def test_address_that_leads_nowhere_is_refused(text: str) -> None:
    """A text that names no store is refused with what is expected, and shows no password."""
    with pytest.raises(ValueError, match=r"expected|is not one of memory, sqlite, ") as raised:
        parse_address(text)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("host", ["h", "h:port"])
def test_settings_show_no_password(host: str) -> None:
    """Neither what is logged of the settings nor a refusal holds the address's password."""
    variable = {"CAROUSEL_STORE": f"redis://:{SECRET}@{host}"}
    if host == "h":
        settings = load_settings([], variable)
        assert SECRET not in repr(settings)
        assert (settings.store, settings.redis_password) == ("redis://h", SECRET)
        return
    with pytest.raises(SettingError, match=r"^CAROUSEL_STORE: 'redis\.\.\.' is not one of") as bad:
        load_settings([], variable)
    assert SECRET not in str(bad.value)


def test_password_is_said_once(tmp_path: Path) -> None:
    """By variable, by file or in the address; two of them are refused."""
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    by_file = ["--redis-password-file", str(file)]
    by_variable = {"CAROUSEL_REDIS_PASSWORD": SECRET}
    by_address = ["--store", "redis://:other@h"]
    for arguments, environ in (
        (["--store", f"redis://:{SECRET}@h"], {}),
        (["--store", "redis://h"], by_variable),
        (["--store", "redis://h", *by_file], {}),
    ):
        settings = load_settings(arguments, environ)
        assert settings.redis_password == SECRET
        assert SECRET not in repr(settings)
    for arguments, environ in (
        (by_file, by_variable),
        (by_address, by_variable),
        ([*by_address, *by_file], {}),
    ):
        with pytest.raises(SettingError, match="keep one of them") as raised:
            load_settings(arguments, environ)
        assert raised.value.setting.startswith("CAROUSEL_REDIS_PASSWORD")
        assert SECRET not in str(raised.value)


def test_empty_password_file_is_refused(tmp_path: Path) -> None:
    """A file without a password is a slip, not a server without one; an empty variable is none."""
    file = tmp_path / "password"
    file.write_text("\n")
    with pytest.raises(SettingError, match=r"^CAROUSEL_REDIS_PASSWORD_FILE: .* no password"):
        load_settings(["--redis-password-file", str(file)], {})
    assert load_settings([], {"CAROUSEL_REDIS_PASSWORD": ""}).redis_password == ""
