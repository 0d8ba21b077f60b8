"""`entropy-flows bench-selectors` from a file to tables, and its bad input."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from cells import Spring, rattled
from typer.testing import CliRunner

from entropy_flows.bench import Bench, BenchParams, LabelledPool, load_bench
from entropy_flows.bench.rounds import Chain, run_chain
from entropy_flows.bench.students import NetworkStudent
from entropy_flows.cli.app import app
from entropy_flows.cli.bench_selectors import _params
from entropy_flows.formats import labelled, write_mace
from entropy_flows.potentials import locate_model
from entropy_flows.processes import child
from entropy_flows.report.benchmark import write_benchmark_page
from entropy_flows.report.benchmark_tables import benchmark_tables
from entropy_flows.select import GreedySelector, LogDetSelector, RandomSelector
from entropy_flows.select.pool import choose

SHIPPED = "shipped:si-small.nequip.zip"
BASE = locate_model(SHIPPED, Path())
CARBON = locate_model("shipped:c-small.nequip.zip", Path())
FAST = {"steps": 20, "hidden": [8], "members": 2}


def labelled_cell(seed, forces=True):
    atoms = rattled("Si", 1, stdev=0.02 + 0.01 * (seed % 24), seed=seed)
    source = atoms.copy()
    source.calc = Spring()
    numbers = {"energy": source.get_potential_energy()}
    if forces:
        numbers |= {"forces": source.get_forces(), "stress": source.get_stress()}
    atoms.calc = SinglePointCalculator(atoms, **numbers)
    return atoms


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "pool.extxyz"
    write(path, [labelled_cell(seed) for seed in range(30)])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table whose target is a function of two of its columns."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "table.csv"
    x = rng.normal(size=(80, 4)) * [1, 100, 1e-3, 1]
    target = x[:, 0] + 0.01 * x[:, 1]
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["name", "a", "b", "c", "d", "hull"])
        rows.writerows(
            [[f"cell {k}", *map(float, row), float(target[k])] for k, row in enumerate(x)]
        )
    return path


def run(pool, folder, *options):
    arguments = ["bench-selectors", str(pool), "-C", str(folder), *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def params(pool, **changes):
    fields = {
        "pool": str(pool),
        "selectors": ("random", "greedy"),
        "sizes": (4, 8),
        "seeds": (1, 2),
        "forces": False,
        "split_by_seed": False,
        "fingerprint": {"cutoff": 4.5, "natx": 4},
        "network": FAST,
    }
    return BenchParams.model_validate(fields | changes)


def results(made):
    return [point for chain in list(made.missing()) for point in run_chain(made, chain)]


@pytest.mark.slow
def test_from_a_file_to_tables_and_again(pool, tmp_path):
    changes = ("initial=4", "forces=false", "fingerprint.natx=4", f"network={FAST}")
    options = ["--sizes", "4,8", "--seeds", "1,2", "--workers", "2"]
    options += ["--selectors", "random,committee", *(f"--set={text}" for text in changes)]
    done = run(pool, tmp_path / "b", *options)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "4 of 4" in done.output
    for title in (
        "energy MAE",
        "Selectors against random",
        "Calibration of the committee",
        "Selection",
    ):
        assert title in done.output
    assert "force MAE" not in done.output
    assert '<figure id="curves">' in (tmp_path / "b" / "index.html").read_text()
    again = run(pool, tmp_path / "b", *options)
    assert again.exit_code == 0
    assert "1 of" not in again.output
    more = run(
        pool, tmp_path / "b", *options[:6], "--selectors", "random,committee,kmeans", *options[8:]
    )
    assert "2 of 2" in more.output
    other = run(pool, tmp_path / "b", *options, "--set=select.alpha=0.5")
    assert "has results with another select" in str(other.exception)


@pytest.mark.slow
def test_a_fine_tuned_model_as_the_student(pool, tmp_path):
    done = run(pool, tmp_path, "--base-model", SHIPPED, "--sizes", "4,8", "--seeds", "1",
               "--selectors", "random,hybrid", "--set=train.max_epochs=2", "--set=initial=4",
               "--set=fingerprint.natx=4", "--workers", "2")  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    assert "force MAE" in done.output
    points = [
        json.loads((tmp_path / "points" / "model" / f"hybrid-{n}-1.json").read_text())
        for n in (4, 8)
    ]
    assert all(point["errors"]["held-out"]["n"] == 6 for point in points)
    assert points[1]["calibration"]["forces"]["n"] == 6
    assert all(path.is_file() for path in (tmp_path / "points" / "model").iterdir())


def test_rounds_begin_alike_and_grow(pool, tmp_path):
    made = Bench(
        params(pool, initial=4, batch=3, selectors=("random", "kmeans", "committee"), sizes=(4, 8)),
        tmp_path,
    )
    prepared = made.prepare()
    points = {(p["method"], p["size"], p["seed"]): p for p in results(made)}
    assert len(points) == 12
    for seed in (1, 2):
        first = [points[name, 4, seed]["chosen"] for name in made.params.selectors]
        assert first[0] == first[1] == first[2]
        assert [points[name, 4, seed]["errors"] for name in made.params.selectors] == 3 * [
            points["random", 4, seed]["errors"]
        ]
        for name in made.params.selectors:
            chosen = points[name, 8, seed]["chosen"]
            assert chosen[:4] == first[0]
            assert len(set(chosen)) == 8
            assert set(chosen) <= set(prepared.split["train"])
    assert points["random", 4, 1]["chosen"] != points["random", 4, 2]["chosen"]
    shown = {
        title: rows for title, rows, _ in benchmark_tables(made.points(), prepared, made.params)
    }
    assert [row[0] for row in shown["Selectors against random"]] == [
        "selector",
        "random",
        "kmeans",
        "committee",
    ]
    assert (
        len(shown["energy MAE, meV/atom"])
        == len(shown["energy MAE, meV/atom: change against random"])
        == 3
    )
    assert len(shown["Selection"]) == len(shown["Calibration of the committee"]) == 7
    assert not {"force MAE, meV/Å", "Stopped early"} & set(shown)
    text = write_benchmark_page(made.points(), prepared, made.params, tmp_path)[0].read_text()
    for name in ("curves", "calibration"):
        assert f'<figure id="{name}">' in text
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000


def test_regressions_learn_forces_on_splits_by_seed(pool, tmp_path):
    pytest.importorskip("featomic")
    regression = {"power_spectrum": {"cutoff": 3.0, "radial": 3, "angular": 2}, "landmarks": 20}
    changes = {"students": ("linear", "gp"), "regression": regression, "split_by_seed": True}
    changes |= {"selectors": ("random", "committee"), "initial": 4, "sizes": (4, 12)}
    made = Bench(params(pool, forces=True, **changes), tmp_path)
    left_by_a_kill = tmp_path / ".part-0-design-gp.npy"
    left_by_a_kill.write_bytes(b"half")
    steps = []
    prepared = made.prepare(lambda *step: steps.append(step))
    assert not left_by_a_kill.exists()
    assert steps[-1] == ("features of the student gp", 30, 30)
    points = {(p["student"], p["method"], p["size"], p["seed"]): p for p in results(made)}
    assert len(points) == 16
    for student in ("linear", "gp"):
        few, many = (points[student, "random", n, 1]["errors"]["held-out"] for n in (4, 12))
        assert many["forces_mae"] < few["forces_mae"]
        assert many["energy_p95"] >= many["energy_mae"]
    chosen = {
        student: points[student, "committee", 12, 1]["chosen"] for student in ("linear", "gp")
    }
    assert chosen["linear"][:4] == chosen["gp"][:4]
    splits = [made.pool(Chain("gp", "random", seed, (4,))).split["test"] for seed in (1, 2)]
    assert splits[0] != splits[1]
    page, tables = write_benchmark_page(
        made.points(), prepared, made.params, tmp_path, {"other": made.points()}
    )
    titles = [table.title for table in tables]
    for title in ("linear: force MAE, meV/Å", "gp: energy error, 95th percentile, meV/atom"):
        assert f"{title}: change against random" in titles
    summary = {table.title: table.rows for table in tables}
    (rows,) = (rows for title, rows in summary.items() if title.startswith("force MAE: all"))
    assert {row[0]: row[-1] for row in rows[1:]} == {"random": "8", "committee": "8"}
    assert '<figure id="curves-gp">' in page.read_text()
    design = (tmp_path / "design-gp.npy").stat().st_mtime_ns
    made.prepare()
    assert (tmp_path / "design-gp.npy").stat().st_mtime_ns == design


def test_a_committee_is_trained_once_for_test_and_choice(pool, tmp_path, monkeypatch):
    trained, original = [], NetworkStudent.trained
    monkeypatch.setattr(
        NetworkStudent,
        "trained",
        lambda *given: trained.append(len(given[2])) or original(*given),
        raising=True,
    )
    made = Bench(
        params(pool, initial=4, batch=3, selectors=("hybrid",), seeds=(1,), sizes=(4, 8, 10)),
        tmp_path,
    )
    made.prepare()
    results(made)
    assert trained == [4, 7, 8, 10]


def test_in_rounds_only_larger_sizes_are_added(pool, tmp_path):
    def prepared(*sizes, **changes):
        made = Bench(
            params(pool, initial=2, selectors=("kmeans",), seeds=(1,), sizes=sizes, **changes),
            tmp_path,
        )
        made.prepare()
        return made

    first = results(prepared(4, 8))
    more = prepared(4, 8, 10)
    assert [point["size"] for point in results(more)] == [4, 8, 10]
    assert more.points()[1]["chosen"] == first[1]["chosen"]
    for sizes in ((4, 6, 8, 10), (8, 10), (4, 8)):
        with pytest.raises(
            ValueError, match=r"in rounds up to 4, 8, 10 cells.* only larger sizes can be added"
        ):
            prepared(*sizes)
    free = params(pool, selectors=("kmeans",), seeds=(1,), sizes=(4, 8))
    Bench(free, tmp_path / "free").prepare()
    Bench(free.model_copy(update={"sizes": (4, 6)}), tmp_path / "free").prepare()


def test_selectors_choose_in_the_features_of_a_model(pool, tmp_path):
    made = Bench(params(pool, fingerprint={"kind": "features", "model": SHIPPED}), tmp_path)
    prints = made.prepare().prints
    assert {q.shape[1] for q in prints} == {24}
    assert made.pool(next(made.missing())).prints[0].shape == prints[0].shape


def test_fingerprints_of_an_unknown_pool_are_not_taken(pool, tmp_path):
    made = Bench(params(pool), tmp_path / "b")
    expected = made.prepare().prints
    other = tmp_path / "other.extxyz"
    write(other, [labelled_cell(100 + seed) for seed in range(30)])
    Bench(params(other), tmp_path / "b2").prepare()
    (tmp_path / "b" / "bench.json").unlink()
    (tmp_path / "b" / "prints.npz").write_bytes((tmp_path / "b2" / "prints.npz").read_bytes())
    np.testing.assert_array_equal(made.prepare().prints[0], expected[0])


def test_pool_and_base_model_are_known_by_what_is_in_them(pool, tmp_path):
    moved = [tmp_path / "elsewhere.extxyz", tmp_path / "elsewhere.nequip.zip"]
    for path, source in zip(moved, (pool, Path(BASE)), strict=True):
        path.write_bytes(source.read_bytes())
    Bench(params(pool, forces=True, base_model=BASE), tmp_path / "b").prepare()
    Bench(params(moved[0], forces=True, base_model=str(moved[1])), tmp_path / "b").prepare()
    write(moved[0], [labelled_cell(seed) for seed in range(31)])
    with pytest.raises(ValueError, match="has results with another pool:"):
        Bench(params(moved[0], forces=True, base_model=BASE), tmp_path / "b").prepare()


def test_seeds_that_ended_early_are_told(pool, tmp_path):
    made = Bench(params(pool, seeds=(1, 2, 3), sizes=(4,)), tmp_path)
    prepared = made.prepare()
    found = results(made)
    (lost,) = [point for point in found if (point["method"], point["seed"]) == ("greedy", 2)]
    lost |= {"chosen": lost["chosen"][:2], "errors": {}, "reason": "no more"}
    shown = {title: rows for title, rows, _ in benchmark_tables(found, prepared, made.params)}
    assert shown["energy MAE, meV/atom"][1][2].endswith("(2 of 3 seeds)")
    assert "seeds" not in shown["energy MAE, meV/atom"][1][1]
    (row,) = [row for row in shown["Selection"] if row[0] == "greedy"]
    values = [
        point["information"]["atom"]
        for point in found
        if point["method"] == "greedy" and point is not lost
    ]
    assert row[2] == f"{np.mean(values):.1f} ± {np.std(values, ddof=1) / 2**0.5:.1f} (2 of 3 seeds)"


def test_ctrl_c_ends_it_and_it_can_go_on(table, tmp_path):
    # A process that a shell starts in the background ignores SIGINT.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from entropy_flows.cli import main; main()"
    program = [sys.executable, "-c", code, "bench-selectors", str(table)]
    options = ["-C", str(tmp_path / "b"), "--workers", "1", "--selectors", "random"]
    options += ["--sizes", "40", "--seeds", "1,2,3,4,5,6,7,8"]
    options += ["--set", "target=hull", "--set", "network.steps=200"]
    with child(
        [*program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "b").glob("points/*/*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert process.returncode == 130
    assert len(list((tmp_path / "b").glob("points/*/*.json"))) < 8


def test_paths_in_a_file_are_relative_to_it(pool, tmp_path, monkeypatch):
    (tmp_path / "mine.nequip.zip").write_bytes(Path(BASE).read_bytes())
    (tmp_path / "pool.extxyz").write_bytes(pool.read_bytes())
    (tmp_path / "bench.yaml").write_text(
        yaml.safe_dump({"pool": "pool.extxyz", "base_model": "mine.nequip.zip"})
    )
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    found = _params(Path("../bench.yaml"), {})
    assert Path(found.base_model) == tmp_path / "mine.nequip.zip"
    with pytest.raises(ValueError, match=r"model file mine.nequip.zip does not exist"):
        _params(Path("../bench.yaml"), {"base_model": "mine.nequip.zip"})


def test_a_chain_that_was_cut_off_goes_on_to_the_same_end(pool, tmp_path):
    made = Bench(params(pool, initial=4, selectors=("committee",), seeds=(1,)), tmp_path)
    made.prepare()
    before = results(made)
    made.point_file(Chain("networks", "committee", 1, (4, 8)), 8).unlink()
    after = results(made)
    assert [p["chosen"] for p in after] == [p["chosen"] for p in before]
    assert [p["errors"] for p in after] == [p["errors"] for p in before]


def test_the_split_is_fixed_and_what_is_prepared_is_kept(pool, tmp_path):
    made = Bench(params(pool), tmp_path)
    found = made.prepare()
    assert sorted(place for part in found.split.values() for place in part) == list(range(30))
    assert [len(found.split[part]) for part in ("train", "val", "test")] == [24, 0, 6]
    assert [q.shape for q in found.prints] == [(2, 4)] * 30
    assert len(list(made.missing())) == 8
    stored = (tmp_path / "prints.npz").stat().st_mtime_ns
    assert made.prepare().split == found.split
    assert (tmp_path / "prints.npz").stat().st_mtime_ns == stored
    with_validation = LabelledPool.of(params(pool, base_model=BASE, forces=True))
    assert [len(with_validation.split[part]) for part in ("train", "val", "test")] == [21, 3, 6]


def test_a_selector_that_stops_early_is_told_and_trains_nothing(pool, tmp_path):
    made = Bench(
        params(pool, select={"theta_min": 1e6}, selectors=("greedy",), seeds=(1,), sizes=(4,)),
        tmp_path,
    )
    made.prepare()
    (point,) = results(made)
    assert len(point["chosen"]) == 1
    assert point["errors"] == {}
    assert "no more than θ = 1e+06" in point["reason"]
    shown = {
        title: rows
        for title, rows, _ in benchmark_tables(made.points(), made.prepare(), made.params)
    }
    assert shown["Stopped early"][1] == ["greedy", "4", "1", "1", point["reason"]]


def test_a_selector_has_settings_of_its_own(pool, tmp_path):
    settings = {"greedy": {"theta_min": None}}
    made = Bench(
        params(
            pool,
            select={"theta_min": 1e6},
            settings=settings,
            selectors=("greedy", "logdet"),
            sizes=(4,),
        ),
        tmp_path,
    )
    made.prepare()
    chosen = {(point["method"], point["seed"]): len(point["chosen"]) for point in results(made)}
    assert chosen == {("greedy", 1): 4, ("greedy", 2): 4, ("logdet", 1): 1, ("logdet", 2): 1}


def test_a_pool_of_copies_stops_and_says_why(tmp_path):
    path = tmp_path / "copies.extxyz"
    write(path, [labelled_cell(3)] * 20)
    made = Bench(
        params(path, selectors=("kcentres", "farthest"), seeds=(1,), sizes=(4,)), tmp_path / "b"
    )
    made.prepare()
    for point in results(made):
        assert len(point["chosen"]) == 1
        assert "are copies of cells that were taken or known" in point["reason"]
    page = write_benchmark_page(made.points(), made.prepare(), made.params, tmp_path / "page")
    assert "Stopped early" in page[0].read_text()


def test_only_cells_near_the_lowest_energy(pool):
    energies = np.array([labelled_cell(seed).get_potential_energy() / 2 for seed in range(30)])
    width = float(np.median(energies) - energies.min())
    found = LabelledPool.of(params(pool, within=width, sizes=(2,)))
    assert len(found.targets) == (energies <= energies.min() + width + 1e-9).sum() < 30


@pytest.mark.parametrize("selector", ["random", "committee", "kmeans", "hybrid"])
def test_a_table_by_khan_2026(table, tmp_path, selector):
    changes = {
        "preset": "khan-2026",
        "target": "hull",
        "seeds": [1],
        "selectors": [selector],
        "sizes": [30, 45],
        "network.steps": 200,
    }
    made = load_bench(table, changes)
    assert (made.batch, made.network.hidden, made.network.members) == (15, (128, 128), 5)
    assert made.with_selector("hybrid").alpha == 0.6
    assert made.with_selector("kmeans").clusters == 15
    bench = Bench(made, tmp_path)
    found = bench.prepare()
    side = np.concatenate([found.prints[place] for place in found.split["train"]])
    np.testing.assert_allclose(
        [side.mean(axis=0), side.std(axis=0)], [np.zeros(4), np.ones(4)], atol=1e-9
    )
    points = results(bench)
    assert [len(point["chosen"]) for point in points] == [30, 45]
    assert points[-1]["errors"]["held-out"]["energy_r2"] > 0.7


def test_a_yaml_file_and_changes_to_it(pool, tmp_path):
    file = tmp_path / "bench.yaml"
    file.write_text(
        yaml.safe_dump(
            {"pool": str(pool), "sizes": [5], "select": {"theta_min": 0.1}, "forces": False}
        )
    )
    found = load_bench(file, {"select.alpha": 0.3, "sizes": [6, 7]})
    assert (found.sizes, found.select) == ((6, 7), {"theta_min": 0.1, "alpha": 0.3})
    file.write_text("sizes: [5]")
    with pytest.raises(ValueError, match="expected a mapping with the key 'pool'"):
        load_bench(file, {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"selectors": ["best"]}, "selectors: unknown selector 'best', expected one of: logdet"),
        ({"sizes": [4, 25]}, "30 cells, 24 of them to choose from; 25 are wanted"),
        ({"train": {"preset": "small", "max_epoch": 1}}, "max_epoch"),
        (
            {"selectors": ["committee"]},
            "'committee' goes by models trained on what was chosen before: set initial",
        ),
        ({"initial": 6}, "initial is 6, more than the smallest of sizes, 4"),
        (
            {"fingerprint": {"elements": ["C"]}},
            r"pool.extxyz has Si, which fingerprint.elements \(C\) does not list",
        ),
        (
            {"select": "random", "select.alpha": 0.5},
            "select.alpha: select is 'random', which has no alpha",
        ),
        (
            {"settings": {"best": {}}},
            "settings.best: unknown selector 'best', expected one of: logdet",
        ),
        (
            {"settings": {"greedy": {"theta": 0.1}}},
            "^settings.greedy: unknown key 'theta'; did you mean 'theta_min'",
        ),
        ({"seeds": [1, 1]}, "seeds names one twice: 1, 1"),
        ({"students": ["gp", "model"]}, "students are gp, model and base_model is None"),
        ({"base_model": BASE, "students": ["gp"]}, "the student model is a base model"),
        (
            {"base_model": CARBON},
            r"pool.extxyz holds Si; base_model c-small\S+ does not know Si \(it knows C\)",
        ),
    ],
)
def test_bad_input_is_told_before_anything_is_written(pool, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        Bench(
            load_bench(pool, {"sizes": [4], "forces": False, **changes}), tmp_path / "b"
        ).prepare()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "target is None; its columns of numbers are a, b, c, d, hull"),
        ({"target": "name"}, "target is 'name'"),
        ({"target": "hull", "features": ["a", "e"]}, "no column of numbers 'e'; there are a, b"),
        ({"target": "hull", "base_model": BASE}, "is a table without cells"),
        ({"target": "hull", "students": ["gp"]}, "gp learns from cells, and .* is a table"),
    ],
)
def test_bad_tables(table, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        Bench(load_bench(table, {"sizes": [4], **changes}), tmp_path / "b").prepare()


def test_bad_rows(tmp_path):
    for text, words in (
        ("a,b\n1,2\n3\n", "row 3: 1 values, the header has 2"),
        ("a,b\n1,2\nnan,1\n", "row 3: a is not"),
        ("a,b\n", "has 1 rows"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            LabelledPool.of(load_bench(tmp_path / "bad.csv", {"target": "b", "sizes": [1]}))


def test_unlabelled_cells_are_named(tmp_path):
    path = tmp_path / "bare.extxyz"
    write(path, rattled("Si", 1))
    for forces in (True, False):
        with pytest.raises(
            ValueError, match=r"none of 1 frames can be used; bare.extxyz\[0\]: no energy"
        ):
            LabelledPool.of(params(path, forces=forces))
    write(path, [labelled_cell(0, forces=False)])
    with pytest.raises(ValueError, match=r"bare.extxyz\[0\]: no forces"):
        LabelledPool.of(params(path, forces=True))
    with pytest.raises(ValueError, match=r"none.extxyz does not exist"):
        LabelledPool.of(params(tmp_path / "none.extxyz"))
    path.write_text("nothing of the kind\n")
    with pytest.raises(ValueError, match=r"bare.extxyz is not extended XYZ"):
        LabelledPool.of(params(path))


@pytest.mark.parametrize("forces", [True, False])
def test_bad_frames_are_left_out_and_told(tmp_path, forces):
    """Also from a file with MACE's names."""
    cells = [labelled_cell(seed) for seed in range(12)]
    write_mace([labelled(atoms) for atoms in cells], tmp_path / "pool.xyz")
    lines = (tmp_path / "pool.xyz").read_text().splitlines(keepends=True)
    lines[5] = re.sub("REF_energy=[^ ]+", "REF_energy=********", lines[5])
    lines[10] = lines[10].replace("Si", "X ")
    (tmp_path / "pool.xyz").write_text("".join(lines))
    pool = LabelledPool.of(params(tmp_path / "pool.xyz", forces=forces))
    assert pool.left_out == [
        "pool.xyz[1]: REF_energy is '********'; a finite number is needed",
        "pool.xyz[2]: species of atom 0 is 'X', which is no element's symbol",
    ]
    assert "REF_energy is read as energy (10 frames)" in pool.notes
    good = [cells[0], *cells[3:]]
    np.testing.assert_allclose(pool.targets, [atoms.get_potential_energy() / 2 for atoms in good])
    for atoms, cell in zip(pool.frames, good, strict=True):
        expected = cell.get_forces() if forces else np.zeros((2, 3))
        np.testing.assert_allclose(atoms.get_forces(), expected, atol=1e-8)
        assert ("stress" in atoms.calc.results) is forces


def test_choosing_from_a_pool():
    rng = np.random.default_rng(0)
    prints = [rng.normal(size=(6, 5)) * rng.uniform(0.1, 3) for _ in range(40)]
    for selector in (
        RandomSelector(),
        LogDetSelector(theta_min=1e-3),
        GreedySelector(theta_min=1e-3),
    ):
        chosen = choose(selector, prints, 10, seed=3).indices
        assert len(set(chosen)) == 10
        assert chosen == choose(selector, prints, 10, seed=3).indices
        assert chosen != choose(selector, prints, 10, seed=4).indices
    copies = [prints[0]] * 20
    assert len(choose(LogDetSelector(theta_min=10.0), copies, 5, seed=0).indices) < 5
    with pytest.raises(
        ValueError, match="the pool has 40 cells, all to choose from; 41 are wanted"
    ):
        choose(RandomSelector(), prints, 41, seed=0)
