"""Imports between folders: numerics know no workflows, stages do not import one another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "entropy_flows"
SHARED = {
    "allocator",
    "params",
    "conventions",
    "equilibrium",
    "geometry",
    "installed",
    "moments",
    "batch",
    "neighbors",
    "potentials",
    "environments",
    "processes",
    "settings",
    "skin",
    "faults",
    "files",
    "lazy",
    "progress",
    "digest",
    "yaml_edit",
    "yaml_text",
    "modules",
    "plugins",
    "spelling",
    "summary",
    "vacuum",
}
CORE = {"fingerprints", "entropy"}
STAGES = {"explore", "select", "refine", "label", "train", "evaluate"}
ALLOWED = {
    "fingerprints": set(),
    "entropy": {"fingerprints"},
    **dict.fromkeys(STAGES, CORE),
    "compiled": set(),
    "biases": CORE | STAGES,
    "formats": set(),
    "frames": CORE | STAGES,
    "bench": CORE | STAGES | {"frames"},
    "distill": CORE | STAGES,
    "schemas": CORE | STAGES,
    "store": CORE | STAGES | {"schemas"},
    "jobs": CORE | STAGES | {"compiled", "distill", "frames", "schemas", "store"},
    "flows": CORE | STAGES | {"compiled", "frames", "schemas", "store", "jobs"},
    "launch": CORE | STAGES | {"frames", "schemas", "store", "jobs", "flows"},
    "report": CORE | STAGES | {"bench", "frames", "schemas", "store", "jobs", "flows"},
    "web": CORE | STAGES | {"report", "schemas", "store", "launch"},
    "cli": CORE
    | STAGES
    | {"web"}
    | {"report", "bench", "distill", "formats", "frames", "schemas", "store", "jobs", "flows"}
    | {"launch"},
}


def imported(path: Path) -> set[str]:
    """Rooms of this package that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("entropy_flows.")}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_lies_below_it(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        beyond = imported(path) - ALLOWED[room] - SHARED - {room}
        assert not beyond, f"{path.relative_to(PACKAGE)} imports {beyond}"


def test_every_room_has_its_rule():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms - SHARED == set(ALLOWED)


def test_import_of_the_package_is_light():
    code = (
        "import sys, entropy_flows; "
        "print([m for m in ('torch', 'jobflow', 'pymongo', 'ase') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_does_without_database_and_workflow():
    code = (
        "import sys, entropy_flows.entropy, entropy_flows.select\n"
        "import entropy_flows.explore, entropy_flows.refine\n"
        "print([m for m in ('jobflow', 'fireworks', 'pymongo', 'maggma') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_only_settings_reads_the_environment(path):
    """Code that hands the environment on to a child process, or sets it, is exempt by hand."""
    handing_on = {
        "settings.py",
        "launch/session.py",
        "cli/app.py",
        "launch/local.py",
        "train/process.py",
        "compiled/make.py",
        "allocator.py",  # glibc's own variables, which glibc reads, too
        "label/cp2k.py",  # CP2K's own variable, which CP2K reads, too
    }
    if str(path.relative_to(PACKAGE)) not in handing_on:
        text = path.read_text()
        assert "os.environ" not in text
        assert "getenv" not in text
