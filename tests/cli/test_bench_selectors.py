"""`entropy-flows bench-selectors` from a file to tables, and its bad input."""

import json

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from cells import Spring, rattled
from typer.testing import CliRunner

from entropy_flows.cli import pool_bench
from entropy_flows.cli.app import app
from entropy_flows.cli.pool_bench import Bench, split
from entropy_flows.select import GreedySelector, LogDetSelector, RandomSelector
from entropy_flows.select.pool import choose

BASE = "shipped:si-small.nequip.zip"


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    frames = []
    for seed in range(24):
        atoms = rattled("Si", 1, stdev=0.02 + 0.01 * seed, seed=seed)
        source = atoms.copy()
        source.calc = Spring()
        numbers = {
            "energy": source.get_potential_energy(),
            "forces": source.get_forces(),
            "stress": source.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **numbers)
        frames.append(atoms)
    path = tmp_path_factory.mktemp("pool") / "pool.extxyz"
    write(path, frames)
    return path


def run(pool, folder, *options):
    arguments = ["bench-selectors", str(pool), "--base-model", BASE, "-C", str(folder), "--natx", "4", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def bench(pool, **changes):
    fields = {"pool": pool, "base_model": BASE, "selectors": ("random", "greedy"), "sizes": (4,), "seeds": (1,),
              "theta": 1e-3, "cutoff": 4.5, "natx": 4, "train": {"preset": "small", "max_epochs": 1}}  # fmt: skip
    return Bench(**fields | changes)


@pytest.mark.slow
def test_from_a_file_to_tables_and_again(pool, tmp_path):
    options = ("--sizes", "4", "--seeds", "1,2", "--max-epochs", "2", "--workers", "2")
    done = run(pool, tmp_path / "b", *options)
    assert done.exit_code == 0, done.output
    assert "6 of 6" in done.output
    assert (tmp_path / "b" / "index.html").is_file()
    points = bench(pool, selectors=("random", "logdet", "greedy"), seeds=(1, 2)).points(tmp_path / "b")
    assert all(len(point["chosen"]) == 4 and point["errors"]["held-out"]["n"] == 5 for point in points)
    information = {(p["method"], p["seed"]): p["information"]["config"] for p in points}
    assert all(information["greedy", seed] > information["random", seed] for seed in (1, 2))
    again = run(pool, tmp_path / "b", *options)
    assert again.exit_code == 0
    assert "1 of" not in again.output
    other = run(pool, tmp_path / "b", *options, "--theta", "0.5")
    assert "give another folder" in str(other.exception)


def test_the_split_is_fixed_and_what_is_prepared_is_kept(pool, tmp_path):
    made = bench(pool)
    made.prepare(tmp_path)
    parts = split(made.frames())
    assert sorted(place for part in parts.values() for place in part) == list(range(24))
    assert [len(parts[part]) for part in ("train", "val", "test")] == [17, 2, 5]
    prints = made.prints(tmp_path)
    assert [q.shape for q in prints] == [(2, 4)] * 24
    assert list(made.missing(tmp_path)) == [("random", 4, 1), ("greedy", 4, 1)]
    stored = (tmp_path / "prints.npz").stat().st_mtime_ns
    made.prepare(tmp_path)
    assert (tmp_path / "prints.npz").stat().st_mtime_ns == stored


def test_a_selector_that_stops_early_is_told_and_trains_nothing(pool, tmp_path):
    made = bench(pool, theta=1e6)
    made.prepare(tmp_path)
    point = pool_bench.run_point(made, ("greedy", 4, 1), tmp_path)
    assert len(point["chosen"]) == 1
    assert point["errors"] == {}
    assert json.loads(pool_bench.point_file(tmp_path, ("greedy", 4, 1)).read_text()) == point
    _, rows, _ = pool_bench.show_tables([point])[-1]
    assert rows[1][-1] == "1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"selectors": ("best",)}, "best"),
        ({"sizes": (4, 18)}, "24 cells, 17 of them to choose from; 18 are wanted"),
        ({"train": {"preset": "small", "max_epoch": 1}}, "max_epoch"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(pool, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        bench(pool, **changes).prepare(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_unlabelled_cells_are_named(tmp_path):
    path = tmp_path / "bare.extxyz"
    write(path, rattled("Si", 1))
    with pytest.raises(ValueError, match=r"bare.extxyz\[0\] cannot be used: no energy"):
        bench(path).frames()


def test_choosing_from_a_pool():
    rng = np.random.default_rng(0)
    prints = [rng.normal(size=(6, 5)) * rng.uniform(0.1, 3) for _ in range(40)]
    for selector in (RandomSelector(), LogDetSelector(1e-3), GreedySelector(1e-3)):
        chosen = choose(selector, prints, 10, seed=3).places
        assert len(set(chosen)) == 10
        assert chosen == choose(selector, prints, 10, seed=3).places
        assert chosen != choose(selector, prints, 10, seed=4).places
    copies = [prints[0]] * 20
    assert len(choose(LogDetSelector(10.0), copies, 5, seed=0).places) < 5
    with pytest.raises(ValueError, match="the pool has 40 cells, all to choose from; 41 are wanted"):
        choose(RandomSelector(), prints, 41, seed=0)
