"""What commands import: nobody waits for packages that a command has no use for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from entropy_flows.cli.app import MODULES
from entropy_flows.schemas import load_campaign
from entropy_flows.store import CampaignStore

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
SLOW = {"torch", "numba", "matplotlib", "jobflow", "atomate2", "fireworks", "scipy.stats"}
"""Packages that take a large part of a second to import, or seconds."""
NUMERICS = {"numpy", "scipy", "ase", "pymatgen"}
DATABASE = {"pymongo", "maggma", "pydantic_settings"}
FORBIDDEN = {
    "help": SLOW | NUMERICS | DATABASE,
    "init": SLOW | NUMERICS | DATABASE,
    "help of each command": SLOW | {"scipy", "ase", "pymatgen"} | DATABASE,
    "status": SLOW | {"scipy", "pymatgen"} | DATABASE - {"pymongo"},
    "check": SLOW | DATABASE,
}
"""Call → modules that it does without."""
SCRIPT = """
import json, sys
from entropy_flows.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["entropy-flows", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def imported(*calls, cwd):
    """Modules that a process has after these calls of the command line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([list(map(str, call)) for call in calls])],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("help", [["--help"]]),
        ("init", [["init", "silicon"]]),
        ("help of each command", [[command, "--help"] for command in MODULES]),
        ("check", [["check", DEMO]]),
    ],
)
def test_a_command_imports_nothing_slow(name, calls, tmp_path):
    assert imported(*calls, cwd=tmp_path) & FORBIDDEN[name] == set()


def test_status_imports_nothing_slow(database, tmp_path):
    campaign = load_campaign(DEMO)
    store = CampaignStore(database, campaign.name)
    store.create(campaign)
    store.set_state("running")
    store.record(1, label={"requested": 6, "labelled": 5, "failed": 1})
    assert imported(["status", DEMO], cwd=tmp_path) & FORBIDDEN["status"] == set()


def test_a_help_is_wrapped_to_its_terminal():
    from entropy_flows.cli.app import unwrapped

    assert unwrapped("One\ntwo.\n\nExample: a\nb") == "One two.\n\nExample: a b"
