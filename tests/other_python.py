"""An environment of another Python that has this one's packages, but not this package."""

from __future__ import annotations

import site
import sysconfig
import venv
from pathlib import Path


def make_environment(folder: Path) -> Path:
    """Make a virtual environment that finds the packages installed here by a `.pth` file."""
    venv.create(folder, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (Path(paths["purelib"]) / "packages.pth").write_text("\n".join(here) + "\n")
    return folder
