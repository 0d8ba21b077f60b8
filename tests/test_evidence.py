"""The evidence's statistics: what is averaged over what, and that no model sees a test."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

EVIDENCE = str(Path(__file__).parents[1] / "evidence")


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(EVIDENCE)
    import campaign_tables

    yield campaign_tables
    for name in [name for name, module in sys.modules.items() if _is_of_evidence(module)]:
        del sys.modules[name]


def _is_of_evidence(module) -> bool:
    return str(getattr(module, "__file__", "")).startswith(EVIDENCE)


def test_the_error_knows_of_pools_and_is_never_less_than_that_of_the_draws(tables):
    far = tables.Estimate.of({42: {0: 1.0, 1: 1.2}, 43: {0: 2.0, 1: 2.2}})
    near = tables.Estimate.of({42: {0: 1.0, 1: 2.0}, 43: {0: 2.0, 1: 1.0}})

    assert (far.value, far.pools, far.seeds) == (pytest.approx(1.6), 2, (0, 1))
    assert far.error == pytest.approx(np.std([1.1, 2.1], ddof=1) / 2**0.5)
    # equal means of both pools, by chance: what is left are the four draws
    assert near.error == pytest.approx(np.std([1.0, 2.0], ddof=1) / 4**0.5)
    ratio = far.over(near)
    relative = np.hypot(far.error / far.value, near.error / near.value)
    assert (ratio.value, ratio.error) == (
        pytest.approx(1.6 / 1.5),
        pytest.approx(1.6 / 1.5 * relative),
    )


def test_errors_of_a_rules_two_tests_are_those_of_all_their_cells(tables):
    one, other = np.array([1.0, 3.0, 2.0]), np.array([5.0])
    both = np.concatenate([one, other])
    errors = {
        f"variance-{seed}": {
            "n": len(cells),
            "energy_mae": cells.mean(),
            "energy_rmse": np.sqrt((cells**2).mean()),
        }
        for seed, cells in ((42, one), (43, other))
    }

    assert tables.joined(errors, "variance", "energy_mae") == pytest.approx(both.mean())
    rmse = np.sqrt((both**2).mean())
    assert tables.joined(errors, "variance", "energy_rmse") == pytest.approx(rmse)
    assert tables.joined(errors, "logdet", "energy_mae") is None


def test_points_of_two_bases_are_not_averaged(tables):
    points = [{"cells": 400, "seed": seed} for seed in range(3)] + [{"cells": 800, "seed": 0}]
    assert tables.of_one_basis(points) == points[:3]
    assert tables.of_one_basis([{"cells": 400}, {"cells": 800}]) == [{"cells": 800}]
    assert tables.of_one_basis([{"seed": 1}]) == [{"seed": 1}]


def test_nothing_that_is_trained_on_is_tested_on(tables):
    from pool_cells import HELD_OUT, INDEPENDENT, METHODS, PoolCells

    frames = [_cell(INDEPENDENT, 42, "none") for _ in range(3)]
    for pool, seed, split in product(HELD_OUT, (42, 43), 8 * ["train"] + ["val", "test"]):
        frames.append(_cell(pool, seed, split))
    pools = PoolCells(frames, max_force=2.0)
    tested = {id(atoms) for cells in pools.tests().values() for atoms in cells}

    assert len(tested) == 3 + len(HELD_OUT) * 2
    for method, seed in product(METHODS, (42, 43)):
        train, val = pools.training(method, seed, size=5, seed=1)
        assert len({id(atoms) for atoms in train}) == 5
        assert not tested & {id(atoms) for atoms in [*train, *val]}
        assert {atoms.info["pool_seed"] for atoms in train} == {seed}


def test_what_was_chosen_first_is_the_beginning_of_a_pool(tables):
    from pool_cells import FIRST, PoolCells

    splits = ["train", "test", "train", "val", "train", "train"]
    pools = PoolCells([_cell("variance", 42, split) for split in splits], max_force=2.0)
    assert FIRST["variance-first"] == "variance"
    for seed in (0, 1):
        train, _ = pools.training("variance-first", 42, 2, seed)
        assert [id(atoms) for atoms in train] == [id(pools.frames[index]) for index in (0, 2)]
    with pytest.raises(ValueError, match="has 4 cells to train on, 5 are wanted"):
        pools.training("variance-first", 42, 5, 0)


def test_a_system_that_ran_on_another_machine_keeps_its_section(tables, monkeypatch, tmp_path):
    import make
    import shared

    monkeypatch.setattr(make, "PAGE", tmp_path / "campaigns.md")
    monkeypatch.setattr(make, "FIGURE", tmp_path / "campaigns.png")
    monkeypatch.setattr(shared, "SUMMARY", tmp_path / "summary.json")
    make.PAGE.write_text("# Old header\n\n## carbon\n\n### student\n\n1\n\n## silicon\n\n2\n")
    row = {"system": "carbon", "teacher": "sevennet", "pool": "logdet", "student": "gp", "N": 200}
    row |= {"test": "logdet", "quantity": "random ÷ energy_mae", "value": 1.2, "error": 0.1}
    shared.write_rows("make.py", [row])
    make.write_tables(tmp_path)

    assert (
        make.PAGE.read_text()
        == f"{make.HEADER}\n## silicon\n\n2\n\n## carbon\n\n### student\n\n1\n"
    )
    assert shared.read_rows("make.py") == [{"script": "make.py", **row}]
    assert make.FIGURE.stat().st_size > 0


def _cell(pool: str, seed: int, split: str) -> Atoms:
    atoms = Atoms("Si", cell=[3, 3, 3], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-5.0, forces=np.zeros((1, 3)))
    atoms.info = {"pool": pool, "pool_seed": seed, "split": split}
    return atoms
