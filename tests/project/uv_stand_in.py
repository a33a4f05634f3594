"""A uv that installs from nowhere; the file `uv.answer` beside it says how it fares.

An empty answer is success; otherwise it is an exit status and what is said on stderr, for the look
that changes nothing (`2 ...`) or, behind `install`, for the installation alone (`install 2 ...`).
`install killed` is a uv that is killed when it has written half of the package.
"""

import json
import os
import re
import shutil
import signal
import sys
import sysconfig
from pathlib import Path

_HOME = Path(sys.prefix)
_PACKAGES = Path(sysconfig.get_path("purelib"))


def main() -> None:
    """Look, or install."""
    arguments = sys.argv[1:]
    looks = "--dry-run" in arguments
    patience = {name: value for name, value in os.environ.items() if name.startswith("UV_HTTP")}
    with (_HOME / "uv.log").open("a") as log:
        log.write(json.dumps([arguments, patience]) + "\n")
    answer = (_HOME / "uv.answer").read_text()
    wanted = answer.removeprefix("install ")
    if answer.startswith("install ") == (not looks) and wanted and wanted != "killed\n":
        status, _, said = wanted.partition(" ")
        sys.stderr.write(said)
        sys.exit(int(status))
    if looks:
        return
    for each in _PACKAGES.glob("torch-*.dist-info"):
        shutil.rmtree(each)
    build = arguments[arguments.index("--torch-backend") + 1]
    pinned = re.search(r"^torch==(\S+)$", Path("constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    made = _PACKAGES / f"torch-{pinned[1]}+{build}.dist-info"
    made.mkdir()
    text = f"Metadata-Version: 2.1\nName: torch\nVersion: {pinned[1]}+{build}\n"
    (made / "METADATA").write_text(text)
    if wanted == "killed\n":
        os.kill(os.getpid(), signal.SIGKILL)
    (made / "RECORD").write_text("")


if __name__ == "__main__":
    main()
