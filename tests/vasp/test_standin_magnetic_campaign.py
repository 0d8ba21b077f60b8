"""A whole campaign of magnetic cells: the cells of all stages keep their atoms' moments."""

import ast
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Poscar
from standin_files import final_moments

PROGRAM = [sys.executable, "-c", "from entropy_flows.cli import main; main()"]
STANDIN = f"{sys.executable} {Path(__file__).with_name('standin.py')}"
MOMENTS = [1.0, -0.2, 1.0, -0.2, -1.0, 0.2, -1.0, 0.2]  # Na Cl Na Cl …, not as VASP has them
DUMP = (
    "from entropy_flows.store import connect\n"
    "db = connect()\n"
    "cells = {d['_id']: (d['stage'], d['structure']) for d in db.structures.find()}\n"
    "rows = [(*cells[d['structure_id']], d['converged'], d.get('magmoms'),\n"
    "         d.get('provenance', {}).get('directory'))\n"
    "        for d in db.labels.find()]\n"
    "print([[stage, {k: v for k, v in cell.items() if k in ('lattice', 'sites')}, ok, m, where]\n"
    "       for stage, cell, ok, m, where in rows])\n"
)


def command(potcars, *arguments):
    hidden = {
        name: value for name, value in os.environ.items() if not name.startswith("ENTROPY_FLOWS_")
    }
    settings = {"ENTROPY_FLOWS_CONFIG_FILE": "/nonexistent"}
    settings |= {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    env = {**hidden, **settings, "PMG_VASP_PSP_DIR": str(potcars), "STANDIN_FAULTS": "crash=0.3"}
    program = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        program, env=env, capture_output=True, text=True, timeout=800, check=False
    )


@pytest.fixture
def campaign(tmp_path):
    lattice = 5.64 * np.eye(3)
    coords = [
        [0, 0, 0],
        [0.5, 0, 0],
        [0.5, 0.5, 0],
        [0, 0.5, 0],
        [0.5, 0, 0.5],
        [0, 0, 0.5],
        [0, 0.5, 0.5],
        [0.5, 0.5, 0.5],
    ]
    Structure(lattice, ["Na", "Cl"] * 4, coords).to_file(str(tmp_path / "salt.json"))
    run = {
        "vasp_cmd": STANDIN,
        "vasp_gamma_cmd": STANDIN,
        "custodian_kwargs": {"polling_time_step": 0.2, "monitor_freq": 1000},
    }
    label = {
        "engine": "vasp-pbe",
        "spin": True,
        "hubbard_u": {"Na": 1.0},
        "kpoint_length": 10,
        "run_vasp_kwargs": run,
    }
    config = {
        "name": "magnetic",
        "elements": ["Na", "Cl"],
        "base_model": "shipped:nacl-small.nequip.zip",
        "phases": [{"name": "salt", "file": "salt.json", "magmoms": MOMENTS}],
        "global_fingerprint": {"cutoff": 4.5, "natx": 16},
        "local_fingerprint": {"cutoff": 3.0, "natx": 8},
        "explore": {"temperatures": [600], "entropy_weights": [3], "pressures": [0, 1],
                    "steps": 40, "warm_up": 5, "ramp": 5, "batch_size": 4},
        "select": {"theta_min": 0.01, "max_labels": 8},
        "refine": {"max_candidates": 2, "max_steps": 2},
        "anchors": {"fraction": 0.2, "pressures": [0]},
        "label": {**label, "batch_size": 3, "top_up": 1},
        "train": {"preset": "small", "max_epochs": 1},
        "stop": {"max_iterations": 1},
    }  # fmt: skip
    path = tmp_path / "magnetic.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_cell_of_a_campaign_has_its_moments(campaign, potcars, tmp_path):
    done = command(potcars, "run", campaign, "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = command(potcars, "database", campaign, "--", sys.executable, "-c", DUMP)
    rows = ast.literal_eval(shown.stdout.splitlines()[-1])
    assert {"select", "anchor", "top_up_1"} <= {stage for stage, *_ in rows}
    calculated = 0
    for _, cell, converged, ended, where in rows:
        cell = Structure.from_dict(cell)
        assert cell.site_properties["magmom"] == MOMENTS
        if not converged:
            continue
        calculated += 1
        folder = Path(where.rpartition(":")[2])
        with gzip.open(folder / "INCAR.gz", "rt") as file:
            started = Incar.from_str(file.read())["MAGMOM"]
        with gzip.open(folder / "POSCAR.gz", "rt") as file:
            poscar = Poscar.from_str(file.read()).structure
        finals = final_moments(started)
        for site, start, end in zip(cell, MOMENTS, ended, strict=True):
            index = int(np.argmin([site.distance(other) for other in poscar]))
            assert poscar[index].specie == site.specie
            assert (started[index], finals[index]) == (start, pytest.approx(end, abs=1e-9))
    assert calculated > 3
    out = tmp_path / "out.extxyz"
    exported = command(potcars, "export", campaign, out, "--flagged")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    frames = read(out, ":")
    assert len(frames) == calculated
    assert all(np.array_equal(atoms.get_initial_magnetic_moments(), MOMENTS) for atoms in frames)
    assert all(len(set(atoms.get_magnetic_moments())) == len(MOMENTS) for atoms in frames)
