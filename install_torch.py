"""PyTorch's build: `python install_torch.py [BUILD]` installs it beside the Python that runs it.

pip knows one build of a version, and on Linux that one brings gigabytes of CUDA's libraries. uv
knows where PyTorch keeps the others: cpu, cu126 and the like, or auto, which looks at the machine.
So uv installs PyTorch alone. All else, what PyTorch needs too, is left to pip, which may be set up
for a mirror that uv has not heard of.

    asked for   there                  what is done
    nothing     the pinned version     nothing, whichever build it is
    nothing     another version        the same build of the pinned one; cpu where none is named
    nothing     no PyTorch             cpu
    a build     that build, pinned     nothing
    a build     anything else          that build, over what is there
    pip         whatever               nothing: pip chooses

Where uv or the build cannot be had nothing is installed. That is a failure if the build was asked
for; otherwise one line says why, and pip brings its usual build. A build that can be had and then
fails is a failure too: in its place pip's would come as a surprise of gigabytes.
"""

import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CONSTRAINTS = Path("constraints.txt")
# Stands while uv writes: uv and pip take what a killed uv leaves of a package for all of it.
_UNFINISHED = Path(sys.prefix, ".torch-unfinished")
# Bounds the look at the index: one that cannot be reached costs seconds. The caller's own win.
_SHORT_PATIENCE = {
    "UV_HTTP_RETRIES": "1",
    "UV_HTTP_CONNECT_TIMEOUT": "5",
    "UV_HTTP_TIMEOUT": "10",
}
_MAX_REASON = 100


class NotToBeHad(Exception):
    """uv, or the build, cannot be had here; the text says why."""


def main() -> None:
    """Do what the table above says."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if _UNFINISHED.exists():
        _pip("uninstall", "--yes", "torch").check_returncode()
        _UNFINISHED.unlink()
    there = _installed()
    there_version, _, there_build = there.partition("+")
    if named == "pip" or (there_version == _pinned() and named in ("", there_build)):
        return
    build = named or there_build or "cpu"
    try:
        install = [*_uv(), "--torch-backend", build]
        # uv is content with any build that is there.
        install += ["--reinstall-package", "torch"] if there else []
        _look(install)
    except NotToBeHad as reason:
        if named:
            sys.exit(f"TORCH_BACKEND={named}: {reason}. TORCH_BACKEND=pip takes pip's usual build.")
        sys.stdout.write(f"==> no {build} build of PyTorch, so pip's usual one: {reason}\n")
        return
    _UNFINISHED.touch()
    if subprocess.run([*install, "torch"], check=False).returncode:
        sys.exit(
            f"The {build} build of PyTorch could not be installed. The same command tries again; "
            "with TORCH_BACKEND=pip it takes pip's usual build."
        )
    _UNFINISHED.unlink()


def _installed() -> str:
    """The version of the PyTorch that is there, as in 2.13.0+cpu; empty if there is none."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _pinned() -> str:
    found = re.search(r"^torch==(\S+)$", _CONSTRAINTS.read_text(), re.MULTILINE)
    assert found is not None, "constraints.txt pins torch"
    return found[1]


def _uv() -> list[str]:
    """The command by which uv installs, once pip has brought uv."""
    # A wheel or nothing: building uv takes a Rust compiler, and minutes.
    options = ["--only-binary", "uv", "--retries", "1", "--timeout", "10"]
    if _pip("install", *options, "-c", str(_CONSTRAINTS), "uv").returncode:
        raise NotToBeHad("pip finds no uv to install it with")
    program = str(Path(sysconfig.get_path("scripts"), "uv"))
    where = ["--python", sys.executable, "-c", str(_CONSTRAINTS)]
    return [program, "pip", "install", "--quiet", "--no-deps", *where]


def _look(install: list[str]) -> None:
    """Ask whether the build can be had, changing nothing."""
    command = [*install, "--dry-run", "torch"]
    env = _SHORT_PATIENCE | os.environ
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if "invalid value" in done.stderr:
        raise NotToBeHad("expected cpu, auto, pip, or a version of CUDA as in cu126")
    if done.returncode == 1:
        raise NotToBeHad("there is none of the pinned version for this machine")
    if done.returncode:
        # What went wrong, what that comes from, and so on; then, after an empty line, hints.
        causes = done.stderr.partition("\n\n")[0].strip().splitlines() or ["uv failed"]
        raise NotToBeHad(causes[-1].strip().removeprefix("cause: ")[:_MAX_REASON])


def _pip(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
