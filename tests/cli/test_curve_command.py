"""`entropy-flows curve` from a campaign file to tables and a page, on real workers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]


@pytest.fixture
def campaign(tmp_path):
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    explore = {
        "temperatures": [600],
        "entropy_weights": [3, 6],
        "pressures": [0, 10],
        "steps": 60,
        "warm_up": 5,
        "ramp": 5,
        "batch_size": 4,
    }
    config |= {
        "name": "small",
        "explore": explore,
        "select": {"theta_min": 1e-3, "max_labels": 16},
        "refine": {"max_candidates": 1, "max_steps": 2},
        "anchors": {"fraction": 0},
        "label": {
            "engine": "forcefield",
            "model": "ase.calculators.lj.LennardJones",
            "calculator_kwargs": {"sigma": 2.1, "epsilon": 1.0, "rc": 5.0, "smooth": True},
        },
        "train": {"preset": "small", "max_epochs": 2},
        "stop": {"max_iterations": 1},
        "independent": {
            "pressures": [0],
            "temperatures": [600],
            "steps": 20,
            "late": 10,
            "snapshots": 2,
        },
        "curve": {"sizes": [8], "seeds": [1, 2], "max_force": 50.0},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def command(*arguments):
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    env = {
        **hidden,
        "ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_nothing_to_the_page_and_again(campaign):
    done = command("curve", campaign, "--workers", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("small.independent-", "small.random-", "small.curve-", "6 of 6 points"):
        assert part in done.stdout
    for table in (
        "energy MAE, meV/atom, in-distribution test",
        "stress MAE, GPa, independent test",
    ):
        assert table in done.stdout
    folder = campaign.parent / "small" / "curve"
    assert {"curves.png", "coverage.png", "parity.png", "distance.png", "index.html"} <= {
        path.name for path in folder.iterdir()
    }
    page = (folder / "index.html").read_text()
    assert "Information of equal-sized pools" in page
    conditions = page.split("force MAE, meV/Å, independent test by condition, 8 cells")[1]
    assert re.search(r"<td>diamond</td>\s*<td>600</td>", conditions)
    again = command("curve", campaign, "--workers", 2)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("nothing is repeated") == 4
    for name in set(re.findall(r"small\.\w+-\w+", done.stdout)):
        other = campaign.with_name(f"{name}.yaml")
        other.write_text(yaml.safe_dump(yaml.safe_load(campaign.read_text()) | {"name": name}))
        checked = command("verify", other, "-C", campaign.parent / "small")
        assert checked.returncode == 0, checked.stdout + checked.stderr
