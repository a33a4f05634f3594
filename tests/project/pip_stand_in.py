"""A pip that installs from nowhere: `python -m pip` in an environment of test_setup.py.

It writes down what it was asked, brings the stand-in of uv when asked for uv, and PyTorch's usual
build, which has no name, when asked for all of it. In folders without a network that is enough.
"""

import json
import shutil
import sys
import sysconfig
from pathlib import Path

_HOME = Path(sys.prefix)
_PACKAGES = Path(sysconfig.get_path("purelib"))


def main() -> None:
    """Install or uninstall."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        return
    with (_HOME / "pip.log").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    there = list(_PACKAGES.glob("torch-*.dist-info"))
    if "uninstall" in arguments:
        for each in there:
            shutil.rmtree(each)
    elif arguments[-1] == "uv":
        if not (_HOME / "uv_stand_in.py").exists():
            sys.exit("ERROR: No matching distribution found for uv")
        program = Path(sysconfig.get_path("scripts"), "uv")
        program.write_text(f"#!{sys.executable}\n{(_HOME / 'uv_stand_in.py').read_text()}")
        program.chmod(0o755)
    elif "-e" in arguments and not there:
        made = _PACKAGES / "torch-2.13.0.dist-info"
        made.mkdir()
        (made / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n")


if __name__ == "__main__":
    main()
