"""A campaign over five elements, d = 3000, through workers; its labels are effective medium
theory's.
"""

import bson
import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from test_loop import campaign_file, command, database

METALS = ("Ni", "Cu", "Pd", "Ag", "Au")
LARGEST_DOCUMENT = 4 * 2**20


def alloy(path, repeat, seed):
    """A cell of 4 atoms times the repetition, with the five metals at random and each at least
    once.
    """
    atoms = bulk("Cu", cubic=True, a=3.9).repeat(repeat)
    rng = np.random.default_rng(seed)
    others = rng.choice(METALS, len(atoms) - len(METALS)).tolist()
    atoms.symbols[:] = rng.permutation([*METALS, *others])
    write(path, atoms, format="vasp")
    return {"name": path.stem, "file": path.name}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_explore_select_append_refine_verify(tmp_path):
    path = campaign_file(
        tmp_path,
        "alloy",
        elements=list(METALS),
        base_model="SevenNet-0",
        phases=[
            alloy(tmp_path / "small.vasp", (2, 2, 1), 1),
            alloy(tmp_path / "large.vasp", (2, 2, 2), 2),
        ],
        global_fingerprint={"cutoff": 4.5, "natx": 200},
        label={"engine": "forcefield", "model": "ase.calculators.emt.EMT", "batch_size": 4},
        select={"theta_min": 2.0, "max_labels": 8},
        train={"preset": "sevennet-0", "max_epochs": 1, "fractions": [0.5, 0.2, 0.3]},
        stop={"max_iterations": 1, "label_budget": 16},
    )
    checked = command("check", path, "--time")
    assert "fingerprints of d = 3000, of which the seeds populate" in checked.stdout
    done = command("run", path, "--workers", "2", timeout=2100)
    assert done.returncode == 0, done.stdout + done.stderr
    with database(path) as db:
        names = (
            "structures",
            "fingerprints",
            "covariances",
            "labels",
            "iterations",
            "outputs",
            "fireworks",
        )
        sizes = {name: max(len(bson.encode(row)) for row in db[name].find()) for name in names}
        atoms = {entry["n_atoms"] for entry in db.structures.find()}
        (iteration,) = db.iterations.find()
        shapes = {tuple(row["shape"]) for row in db.fingerprints.find()}
    assert {name for name, size in sizes.items() if size > LARGEST_DOCUMENT} == set()
    assert atoms == {16, 32}
    assert shapes == {(16, 3000), (32, 3000)}
    assert iteration["select"]["accepted"] > 0
    verified = command("verify", path, "--deep")
    assert verified.returncode == 0, verified.stdout
