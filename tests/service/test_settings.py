"""Settings: one table, flags over environment over defaults, and refusals that name what is
wrong.
"""

import dataclasses
import socket
from pathlib import Path

import pytest

from carousel.service.errors import SettingError
from carousel.service.load_settings import load_settings, unknown_variables
from carousel.service.settings import Settings, options
from tests.harness.live import run_to_end
from tests.harness.process import clean_env

KEY = "0123456789abcdef"


def test_defaults_are_the_contract() -> None:
    """Without flags and variables every setting has its default."""
    settings = load_settings([], {})
    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.ttl_s, settings.max_ttl_s, settings.tombstone_s) == (3600, 2592000, 86400)
    assert (settings.store, settings.data_dir) == ("sqlite", Path("data"))
    assert (settings.durability, settings.redis_unsafe) == ("process", False)
    assert (settings.queue_requests, settings.max_steps) == (4096, 10_000)
    assert (settings.deadline_s, settings.chunk_ms, settings.drain_delay_s) == (30, 5, 0)


def test_table_holds_every_field() -> None:
    """Each field of Settings is one row, with a group and a meaning."""
    rows = list(options())
    assert [row.name for row in rows] == [each.name for each in dataclasses.fields(Settings)]
    assert all(row.group and row.meaning for row in rows)


def test_flag_wins_over_variable() -> None:
    """A flag wins over the environment, and that over the default."""
    environ = {"CAROUSEL_PORT": "9000", "CAROUSEL_THREADS": "3"}
    settings = load_settings(["--port", "9001"], environ)
    assert (settings.port, settings.threads) == (9001, 3)


def test_sizes_have_units() -> None:
    """A number of bytes may be written with its unit."""
    for text, expected in (("64MB", 64_000_000), ("1.5 GiB", 1_610_612_736), ("200000", 200_000)):
        assert load_settings(["--pool-bytes", text], {}).pool_bytes == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "eight"),
        ("DEVICE", "tpu"),
        ("TTL_S", "nan"),
        ("TTL_S", "-1"),
        ("POOL_BYTES", "64 parsecs"),
        ("INSECURE", "perhaps"),
        ("STORE", "redis"),
        ("DATA_DIR", ""),
        ("DURABILITY", "none"),
        ("MODEL_STORE", "lstm"),
        ("MODEL_STORE", "lstm=sqlite"),
        ("MODEL_STORE", "=memory"),
        ("REDIS_UNSAFE", "maybe"),
        ("MODEL_REPOSITORY", ""),
        ("LOG_LEVEL", "loud"),
        ("DEADLINE_S", "inf"),
        # Each of these would fail later: at the start, at the end, or at the first session.
        ("KEEP_ALIVE_S", "inf"),
        ("DRAIN_DELAY_S", "inf"),
        ("DRAIN_TIMEOUT_S", "1e30"),
        ("TTL_S", "1e400"),
        ("MAX_TTL_S", "1e13"),
    ],
)
def test_bad_value_is_named(name: str, value: str) -> None:
    """A value that cannot be used is refused with the variable's name and the value."""
    with pytest.raises(SettingError, match=rf"^CAROUSEL_{name}: .*{value}") as raised:
        load_settings([], {f"CAROUSEL_{name}": value})
    assert "is not" in str(raised.value)


def test_models_in_memory_add_up() -> None:
    """`--model-store` may be said several times, and names models by comma; the variable too."""
    flags = ["--model-store", "a=memory", "--model-store", "b-1.2=memory, c=memory,"]
    assert load_settings(flags, {}).memory_models == {"a", "b-1.2", "c"}
    variable = {"CAROUSEL_MODEL_STORE": "c=memory,d=memory"}
    assert load_settings([], variable).memory_models == {"c", "d"}
    assert load_settings(["--model-store", "a=memory"], variable).memory_models == {"a"}
    with pytest.raises(SettingError, match=r"^--model-store: 'b' is not NAME=memory"):
        load_settings(["--model-store", "a=memory", "--model-store", "b"], {})


def test_bad_flag_is_named() -> None:
    """A value that came by a flag is refused with the flag's name."""
    with pytest.raises(SettingError, match=r"^--chunk-ms: '0' is not a number from 0.1 to 10000"):
        load_settings(["--chunk-ms", "0"], {})


@pytest.mark.parametrize("key", ["", "short", "with space 0123456789", "ключ-ключ-ключ-ключ"])
def test_weak_key_refuses(key: str) -> None:
    """An empty, short or unsendable key refuses to start rather than open the service."""
    with pytest.raises(SettingError, match=r"^CAROUSEL_API_KEY: a key is 16"):
        load_settings([], {"CAROUSEL_API_KEY": key})


def test_key_from_file(tmp_path: Path) -> None:
    """The key may come from a file; not from both, and not from one that is not there."""
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    assert load_settings(["--api-key-file", str(file)], {}).api_key == KEY
    with pytest.raises(SettingError, match="keep one of them"):
        load_settings(["--api-key-file", str(file)], {"CAROUSEL_API_KEY": KEY})
    with pytest.raises(SettingError, match=r"^CAROUSEL_API_KEY_FILE: .* cannot be read"):
        load_settings(["--api-key-file", str(tmp_path / "none")], {})


def test_key_is_not_shown() -> None:
    """The key is no flag, and is not in what is logged of the settings."""
    settings = load_settings([], {"CAROUSEL_API_KEY": KEY})
    assert KEY not in repr(settings)
    assert not any(each.flag for each in options() if each.bounds.secret)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_open_host_needs_a_key(host: str) -> None:
    """Beyond loopback the service refuses to start without a key, unless told otherwise."""
    with pytest.raises(SettingError, match=r"^CAROUSEL_HOST: .*--insecure"):
        load_settings(["--host", host], {})
    assert load_settings(["--host", host, "--insecure"], {}).insecure
    assert load_settings(["--host", host], {"CAROUSEL_API_KEY": KEY}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    """On loopback no key is needed."""
    assert load_settings(["--host", host], {}).is_loopback


def test_slips_are_noticed() -> None:
    """A variable that begins like a setting and is none is pointed out, with the nearest one."""
    environ = {"CAROUSEL_MAX_STEP": "5", "CAROUSEL_PORT": "1", "PATH": "/bin"}
    assert unknown_variables(environ) == [
        "CAROUSEL_MAX_STEP is not a setting; did you mean CAROUSEL_MAX_STEPS?"
    ]


def test_service_links_are_no_settings() -> None:
    """What Kubernetes sets for a Service named `carousel` neither stops the start nor is a slip."""
    environ = {
        "CAROUSEL_PORT": "tcp://10.0.0.1:8000",
        "CAROUSEL_PORT_8000_TCP_ADDR": "10.0.0.1",
        "CAROUSEL_SERVICE_HOST": "10.0.0.1",
    }
    assert load_settings([], environ).port == 8000
    assert unknown_variables(environ) == []


def test_bad_setting_ends_with_3(tmp_path: Path) -> None:
    """The program ends with exit code 3 and one line that names the setting."""
    for arguments, environ, expected in (
        (["--port", "x"], {}, "--port: 'x' is not a whole number"),
        ([], {"CAROUSEL_DEVICE": "tpu"}, "CAROUSEL_DEVICE: 'tpu' is not one of cpu, cuda, auto"),
        (["--model-repository", str(tmp_path / "none")], {}, "CAROUSEL_MODEL_REPOSITORY: there is"),
        (["--host", "0.0.0.0"], {}, "CAROUSEL_HOST: 0.0.0.0 can be reached"),
    ):
        ended = run_to_end(arguments, environ)
        assert ended.code == 3
        assert ended.err.splitlines()[-1].startswith(f"carousel-serve: {expected}")
        assert "Traceback" not in ended.err


def test_cuda_without_gpu_says_why(tmp_path: Path) -> None:
    """`--device cuda` where there is none refuses to start and says what is missing."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ended = run_to_end(["--device", "cuda", "--model-repository", str(tmp_path)])
    assert ended.code == 3
    assert "CAROUSEL_DEVICE: 'cuda' cannot be used: " in ended.err


def test_help_and_version() -> None:
    """`--help` names every flag and `--version` the program; both end well."""
    shown = run_to_end(["--help"])
    assert shown.code == 0
    assert all(each.flag in shown.out for each in options())
    assert "CAROUSEL_API_KEY" in shown.out
    assert run_to_end(["--version"]).out.startswith("carousel-serve ")


def test_taken_port_is_named(tmp_path: Path) -> None:
    """A port that somebody else listens on stops the start with exit code 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_end(["--port", str(port), "--model-repository", str(tmp_path)])
    assert ended.code == 3
    assert f"CAROUSEL_PORT: 127.0.0.1:{port}: " in ended.err


def test_environment_of_tests_is_clean() -> None:
    """Settings of whoever runs the tests do not reach the programs they start."""
    assert not [name for name in clean_env() if name.startswith("CAROUSEL_")]
