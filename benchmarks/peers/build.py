"""Build libfp in a virtual environment of its own, build/peers: `make peers`.

libfp is C with a setup.py that wants LAPACK at build time; nothing of it enters the environment of
entropy_flows. If it cannot be built one line says how, and the benchmark goes on without. Standard
library only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peers"
PYTHON = FOLDER / "bin" / "python"
LIBFP = "libfp==4.0.1"


def built() -> bool:
    """Whether build/peers has a libfp that can be imported."""
    return (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-c", "import libfp"], capture_output=True).returncode == 0
    )


def build() -> str:
    """Build unless it is there; returns what is missing, or nothing."""
    if built():
        return ""
    if not (shutil.which("cc") or shutil.which("gcc")):
        return "it needs a C compiler (apt-get install gcc)"
    if not (find_library("openblas") or find_library("lapack")):
        return "it needs OpenBLAS (apt-get install libopenblas-dev) or LAPACK, which is slower"
    numpy = re.search(r"^numpy==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert numpy is not None
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", FOLDER],
        [*pip, "setuptools>=65", "wheel", numpy.group()],
        # from source: the wheel of another machine would be linked to that machine's LAPACK
        [*pip, "--no-build-isolation", "--no-deps", "--no-binary", "libfp", LIBFP],
    ):
        run = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if run.returncode:
            lines = [
                line for line in (run.stderr + run.stdout).splitlines() if "error" in line.lower()
            ]
            return (lines or [f"{command[-1]} failed"])[
                0
            ].strip() + " (offline, or without python3-dev and LAPACK?)"
    return "" if built() else "it was built but does not import"


def main() -> None:
    """Build, and say so."""
    missing = build()
    print(
        f"libfp is not built: {missing}. Then: make peers" if missing else f"{LIBFP} is in {FOLDER}"
    )


if __name__ == "__main__":
    main()
