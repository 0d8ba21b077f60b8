"""The requirements files of environments that ship with this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entropy_flows.digest import file_sha256
from entropy_flows.spelling import unknown

FOLDER = Path(__file__).with_name("requirements")


@dataclass(frozen=True)
class Requirements:
    """A requirements file of pip, with comments that say what it is for.

    `# python: >=3.12` is the versions of Python that it installs on, `# packages: …` are those
    that a list of environments shows, and `# model: …` is what `environment check` loads.
    """

    path: Path
    """The file."""
    title: str
    """First line."""
    python: str
    """Specifier of the versions of Python."""
    packages: tuple[str, ...]
    """Packages that are shown."""
    model: str | None
    """Model that can be loaded without a file or a network; None if there is none."""

    @classmethod
    def read(cls, path: Path) -> Requirements:
        """Read a file.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not path.is_file():
            raise ValueError(f"requirements file {path} does not exist")
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
        facts = dict(line.split(": ", 1) for line in comments if ": " in line)
        packages = tuple(name.strip() for name in facts.get("packages", "").split(",") if name)
        title = comments[0] if comments else path.name
        return cls(path, title, facts.get("python", ""), packages, facts.get("model"))

    @property
    def name(self) -> str:
        """Name of the file, without its suffix."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return file_sha256(self.path)


def requirements_names() -> list[str]:
    """Return the names of the files that ship with this package."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def shipped_requirements(name: str) -> Requirements:
    """Read a file that ships with this package.

    Raises
    ------
    ValueError
        If there is none of this name; it has those that there are.
    """
    if name not in requirements_names():
        raise ValueError(unknown("environment", name, requirements_names()))
    return Requirements.read(FOLDER / f"{name}.txt")
