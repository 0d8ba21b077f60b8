"""A campaign whose base model and student are SevenNet's, through workers; its labels are effective
medium theory's.
"""

import pytest
from test_loop import campaign_file, command, database


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_fine_tuned_model_drives_the_second_iteration(tmp_path):
    fcc = {
        "name": "fcc",
        "spacegroup": "Fm-3m",
        "lattice": {"a": 4.05},
        "sites": {"Al": [[0, 0, 0]]},
    }
    path = campaign_file(
        tmp_path,
        "seven",
        elements=["Al"],
        base_model="SevenNet-0",
        phases=[fcc],
        label={"engine": "forcefield", "model": "ase.calculators.emt.EMT", "batch_size": 4},
        train={"preset": "sevennet-0", "max_epochs": 8, "fractions": [0.5, 0.2, 0.3]},
    )
    done = command("run", path, "--workers", "2", timeout=2100)
    assert done.returncode == 0, done.stdout + done.stderr
    with database(path) as db:
        iterations = list(db.iterations.find().sort("iteration", 1))
        models = list(db.models.find().sort("iteration", 1))
        cells = list(db.structures.find({"stage": "select"}))
    assert [document["iteration"] for document in iterations] == [1, 2]
    assert len({model["sha256"] for model in models}) == 3
    for document in iterations:
        before, after = (document["evaluate"][when]["forces_mae"] for when in ("before", "after"))
        assert after < before
    assert {cell["iteration"] for cell in cells} == {1, 2}
    assert command("verify", path).returncode == 0
