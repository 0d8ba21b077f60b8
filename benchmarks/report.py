"""Tables, the machine, and the two files they are written to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "ase", "matscipy", "nequip", "sevenn")


@dataclass
class Table:
    """Rows of texts and numbers under a header."""

    title: str
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    note: str = ""


@dataclass
class Section:
    """What one benchmark has to say."""

    title: str
    text: str
    tables: list[Table]
    plots: list[str] = field(default_factory=list)
    seconds: float = 0.0
    date: str = field(default_factory=lambda: date.today().isoformat())


def digits(value: Any) -> str:
    """Three significant digits, whole numbers as they are."""
    if value is None:
        return "—"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.01 else f"{value:.1e}"


def markdown(table: dict[str, Any]) -> str:
    """A table in Markdown, its note below; numbers to the right."""
    rule = ["---" if column == table["columns"][0] else "---:" for column in table["columns"]]
    rows = [table["columns"], rule, *([digits(value) for value in row] for row in table["rows"])]
    lines = [f"### {table['title']}", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", table["note"]] if table["note"] else lines)


def machine(device: str, packages: Iterable[str] = PACKAGES, **others: str) -> dict[str, Any]:
    """What the numbers depend on: the machine, these packages' versions, and those of others."""
    facts = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        "device": _device(device),
    }
    return (
        facts
        | {"python": platform.python_version()}
        | {name: _version(name) for name in packages}
        | others
    )


def write(
    folder: Path,
    stem: str,
    machine: dict[str, Any],
    sections: dict[str, Section],
    order: list[str],
    title: str = "Benchmarks",
    command: str = "make bench",
) -> str:
    """Write stem.json and stem.md, keeping other sections of an earlier run; returns the text."""
    path = folder / f"{stem}.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    merged = earlier | {
        name: {**_plain(section), "machine": machine} for name, section in sections.items()
    }
    merged = {name: merged[name] for name in order if name in merged}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    text = _page(title, command, merged)
    (folder / f"{stem}.md").write_text(text)
    return text


def _page(title: str, command: str, sections: dict[str, dict[str, Any]]) -> str:
    parts = [f"# {title}", f"Written by `{command}`."]
    for section in sections.values():
        facts = ", ".join(f"{name} {value}" for name, value in section["machine"].items())
        parts += [
            f"## {section['title']}",
            section["text"],
            f"Measured {section['date']} in {section['seconds']:.0f} s: {facts}.",
        ]
        parts += [markdown(table) for table in section["tables"]]
        parts += [f"![{section['title']}]({plot})" for plot in section["plots"]]
    return "\n\n".join(parts) + "\n"


def _plain(section: Section) -> dict[str, Any]:
    """For JSON; numbers to five digits."""
    plain = asdict(section)
    for table in plain["tables"]:
        table["rows"] = [
            [float(f"{x:.5g}") if isinstance(x, float) else x for x in row] for row in table["rows"]
        ]
    return plain


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _device(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
