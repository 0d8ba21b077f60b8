"""`entropy-flows select --label`: chosen frames come back labelled, and once only."""

import os
import subprocess
import sys

import pytest
import yaml
from ase.io import read, write
from cells import rattled

PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]
CAMPAIGN = {
    "name": "lab",
    "elements": ["Si"],
    "base_model": "shipped:si-small.nequip.zip",
    "phases": [
        {
            "name": "diamond",
            "spacegroup": "Fd-3m",
            "lattice": {"a": 5.43},
            "sites": {"Si": [[0, 0, 0]]},
        }
    ],
    "label": {"engine": "forcefield", "model": "ase.calculators.lj.LennardJones", "batch_size": 8},
    "global_fingerprint": {"natx": 12},
    "train": {"preset": "small"},
}


@pytest.mark.slow
def test_chosen_frames_are_labelled_once(tmp_path):
    write(tmp_path / "md.extxyz", [rattled("Si", 1, stdev=0.1, seed=seed) for seed in range(20)])
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CAMPAIGN))
    options = ("-n", "4", "-o", "p.extxyz", "--force", "--label", "c.yaml", "--workers", "1")
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [*PROGRAM, "select", "md.extxyz", *options],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(" ".join(done.stdout.replace("│", " ").split()))
    assert "entered 4 there already 0" in outputs[0]
    assert "entered 0 there already 4" in outputs[1]
    labelled = read(tmp_path / "p-labelled.extxyz", ":")
    assert sorted(atoms.info["select_rank"] for atoms in labelled) == [1, 2, 3, 4]
    picked = {atoms.info["select_rank"]: atoms for atoms in read(tmp_path / "p.extxyz", ":")}
    for atoms in labelled:
        assert atoms.get_forces().shape == (2, 3)
        twin = picked[atoms.info["select_rank"]]
        assert atoms.positions == pytest.approx(twin.positions, abs=1e-6)
