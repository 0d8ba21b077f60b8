"""Does a grade say where a model errs? Novelty and a committee's spread against true errors.

    python -m benchmarks.novelty_errors si_mlearn.extxyz.gz si_random_cells.extxyz.gz
    python -m benchmarks.novelty_errors si_mlearn.extxyz.gz --forces --bench BENCH

For each labelled set and three seeds, one half of the cells is drawn at random to train on, and the
other is the test. Two models are trained on it:

    networks    the mean of five small networks on GOM fingerprints (`entropy_flows.bench.network`)
    readout     E/n = w · q̄ + b on SevenNet-0's features q̄, by ridge regression: a last layer that
                is fitted anew

With `--bench`, the models are the students of `entropy-flows bench-selectors` that were trained on
the most cells which `random` chose, on the splits of that benchmark; the pool must be the same.

Predictors of a model's error have the training half as their data set.

    γ of the worst atom      the novelty, as `entropy-flows novelty` has it by default
    llpr of the worst atom   the same with `--measure llpr`
    llpr of the cell         the last-layer uncertainty of its energy per atom: h of its mean
    committee's spread       over the five networks, which know the labels and the model
    its own deviation        the standard deviation by which a student of the benchmark says itself
                             how sure it is

They are of GOM, of SevenNet-0's features, and of those of the shipped silicon model
(`--fingerprints`), with λ = 10⁻³. "scaled" divides components by their standard deviation over the
training half (`fingerprints.scale.standard_scale`).

    ρ      Spearman's rank correlation of predictor and error
    AUC    chance that a cell of the worst tenth has a larger predictor than one of the others

Chance is the range of 95 % of 1000 permutations of the errors, averaged over the seeds as the
figures are. Nothing was chosen by these figures. Two splits are of a run that comes to something
new. With `--kinds`, cells of those groups are all in the test and none in the training. With
`--expanded`, so are the cells with more than the median volume per atom. Forces are tested by atom
where the set's forces are sound (`--forces`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import torch
from ase import Atoms
from scipy.stats import rankdata

from benchmarks.report import Table, markdown
from entropy_flows.bench.network import Networks
from entropy_flows.bench.params import NetworkParams
from entropy_flows.bench.pool import NETWORK_SHARES, labelled_cells, split_by_target
from entropy_flows.conventions import Array
from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.novelty import EVERY_ELEMENT, Novelty, batches_of, with_elements
from entropy_flows.fingerprints import FeaturesParams, make_fingerprint
from entropy_flows.fingerprints.scale import standard_scale
from entropy_flows.label.extxyz import read_cells
from entropy_flows.train import energy_per_atom

SEEDS = (1, 2, 3)
WITHIN = 5.0
"""Energy (eV/atom) above the lowest, up to which cells count, as in the comparison of selectors."""
WORST = 0.1
PERMUTATIONS = 1000
RIDGE = 1e-6
"""λ of the readout, as a share of the trace of its Gram matrix."""
GOM_NAME = "GOM"
SEVENNET_NAME = "SevenNet-0"
FINGERPRINTS = {
    GOM_NAME: None,
    SEVENNET_NAME: DatasetParams(fingerprint=FeaturesParams(model="SevenNet-0")),
    "Allegro": DatasetParams(fingerprint=FeaturesParams(model="shipped:si-small.nequip.zip")),
}
"""Name → settings; None for those that `entropy-flows novelty` has by default."""
COLUMNS = ["predictor", "ρ", "ρ by chance", "AUC", "AUC by chance", "ρ by seed", "AUC by seed"]


@dataclass(frozen=True)
class Case:
    """Errors of one test, and predictors of them by name."""

    error: Array
    predictors: dict[str, Array]


def spearman(predictor: Array, error: Array) -> float:
    """Rank correlation."""
    return float(np.corrcoef(rankdata(predictor), rankdata(error))[0, 1])


def auc(predictor: Array, error: Array) -> float:
    """Area under the receiver's curve for the worst tenth."""
    is_worst = rankdata(error, method="ordinal") > (1 - WORST) * len(error)
    ranks = rankdata(predictor)
    n = int(is_worst.sum())
    return float((ranks[is_worst].sum() - n * (n + 1) / 2) / (n * (len(error) - n)))


def rows(cases: Sequence[Case]) -> list[list[object]]:
    """A row for each predictor."""
    table = []
    for name in cases[0].predictors:
        row: list[object] = [name]
        by_seed = []
        for measure in (spearman, auc):
            values = [measure(case.predictors[name], case.error) for case in cases]
            low, high = chance(measure, [(case.predictors[name], case.error) for case in cases])
            row += [f"{np.mean(values):.2f}", f"{low:.2f} to {high:.2f}"]
            by_seed.append(", ".join(f"{value:.2f}" for value in values))
        table.append([*row, *by_seed])
    return table


def chance(
    measure: Callable[[Array, Array], float], pairs: Sequence[tuple[Array, Array]]
) -> tuple[float, float]:
    """Range of 95 % of the measure's mean where errors are permuted."""
    rng = np.random.default_rng(0)
    means = [
        np.mean([measure(predictor, rng.permutation(error)) for predictor, error in pairs])
        for _ in range(PERMUTATIONS)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def halves(is_new: np.ndarray, seed: int) -> tuple[list[int], list[int]]:
    """Indices of training and test cells; those that are new are all in the test."""
    order = np.random.default_rng(seed).permutation(len(is_new))
    known = order[~is_new[order]].tolist()
    new = order[is_new[order]].tolist()
    return known[: len(known) // 2], known[len(known) // 2 :] + new


def forces_of(networks: Networks, fingerprint, atoms: Atoms) -> Array:
    """Forces (M, n_atoms, 3) by each network: the chain rule through the fingerprint."""
    q, pullback = fingerprint.vjp(atoms)
    forces = []
    for member in range(len(networks.layers[0][0])):
        x = torch.tensor((q - networks.shift) / networks.scale, dtype=torch.float32)
        x.requires_grad_()
        y = x
        for number, (weight, bias) in enumerate(networks.layers):
            y = y @ weight[member] + bias[member]
            y = y if number == len(networks.layers) - 1 else torch.relu(y)
        (slope,) = torch.autograd.grad(y.sum(), x)
        gradient, _ = pullback(slope.double().numpy() * networks.spread / networks.scale)
        forces.append(-gradient)
    return np.array(forces)


def readout(prints: Sequence[Array], targets: Array, train: Sequence[int]) -> Array:
    """Fit energies per atom by the means of features, and predict those of all cells (n,)."""
    means = np.array([q.mean(axis=0) for q in prints])
    centred = means - means[train].mean(axis=0)
    x = centred[train]
    gram = x.T @ x + RIDGE * np.trace(x.T @ x) * np.eye(x.shape[1])
    average = targets[train].mean()
    weights = np.linalg.solve(gram, x.T @ (targets[train] - average))
    return centred @ weights + average


def predictors(
    cells: Sequence[Atoms],
    prints: dict[str, list[Array]],
    train: Sequence[int],
    test: Sequence[int],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return predictors of the test cells by name, and those of their atoms."""
    by_cell = {}
    by_atom = {}
    known = [cells[index] for index in train]
    for name, raw in prints.items():
        scale = np.array(standard_scale([raw[index] for index in train]))
        for suffix, q in (("", raw), (", scaled", [rows / scale for rows in raw])):
            own = [q[index] for index in train]
            for measure, title in (("leverage", "γ"), ("llpr", "llpr")):
                novelty = Novelty.from_prints(DatasetParams(), known, own, measure=measure)
                grades = [novelty.grades_from(cells[index], q[index]) for index in test]
                by_atom[f"{title}, {name}{suffix}"] = np.concatenate(grades)
                worst = np.array([each.max() for each in grades])
                by_cell[f"{title} of the worst atom, {name}{suffix}"] = worst
            means = np.array([q[index].mean(axis=0) for index in test])
            whole = novelty.statistics[EVERY_ELEMENT].leverages(means)
            by_cell[f"llpr of the cell, {name}{suffix}"] = whole
    return by_cell, by_atom


def cases(
    cells: Sequence[Atoms],
    prints: dict[str, list[Array]],
    is_new: np.ndarray,
    seed: int,
    forces: bool,
) -> dict[str, Case]:
    """Energies by cell of each model, and the networks' forces by atom."""
    train, test = halves(is_new, seed)
    targets = np.array([energy_per_atom(atoms) for atoms in cells])
    gom = prints[GOM_NAME]
    networks = Networks.trained(
        [gom[index] for index in train], targets[train], NetworkParams(), seed
    )
    by_cell, by_atom = predictors(cells, prints, train, test)
    predicted = networks.predict([gom[index] for index in test])
    spread = {"committee's spread": predicted.std(axis=0, ddof=1)}
    error = np.abs(predicted.mean(axis=0) - targets[test])
    print(f"  train {len(train)}, test {len(test)}", flush=True)
    print(f"  networks: MAE {1e3 * error.mean():.0f} meV/atom", flush=True)
    results = {"networks, energy per atom": Case(error, {**by_cell, **spread})}
    if SEVENNET_NAME in prints:
        fitted = readout(prints[SEVENNET_NAME], targets, train)
        error = np.abs(fitted - targets)[test]
        print(f"  readout: MAE {1e3 * error.mean():.0f} meV/atom", flush=True)
        results["readout, energy per atom"] = Case(error, by_cell)
    if forces:
        case = force_case(networks, [cells[index] for index in test], by_atom)
        results["networks, force on an atom"] = case
    return results


def force_case(networks: Networks, cells: Sequence[Atoms], by_atom: dict[str, Array]) -> Case:
    """Return errors of the forces on the atoms of the test, with the committee's spread."""
    fingerprint = make_fingerprint(with_elements(None, cells).fingerprint)
    by_member = [forces_of(networks, fingerprint, atoms) for atoms in cells]
    labels = [atoms.get_forces() for atoms in cells]
    errors = [
        np.linalg.norm(many.mean(axis=0) - label, axis=1)
        for many, label in zip(by_member, labels, strict=True)
    ]
    spread = [np.sqrt(many.var(axis=0, ddof=1).sum(axis=1)) for many in by_member]
    error = np.concatenate(errors)
    size = np.linalg.norm(np.concatenate(labels), axis=1).mean()
    print(f"  mean force error {error.mean():.2f} eV/Å, mean force {size:.2f} eV/Å", flush=True)
    return Case(error, {**by_atom, "committee's spread": np.concatenate(spread)})


def all_prints(
    cells: Sequence[Atoms], names: Sequence[str], cache: Path | None, key: str
) -> dict[str, list[Array]]:
    """Compute the fingerprints by name, or read those that an earlier run has kept."""
    prints = {}
    for name in names:
        dataset = with_elements(FINGERPRINTS[name], cells)
        fingerprint = make_fingerprint(dataset.fingerprint)
        file = None if cache is None else cache / f"{key}-{fingerprint.fingerprint_hash}.npz"
        if file is not None and file.exists():
            with np.load(file, allow_pickle=False) as stored:
                prints[name] = np.split(stored["rows"], np.cumsum(stored["sizes"])[:-1])
            continue
        begun = process_time()
        prints[name] = [q for batch in batches_of(cells) for q in fingerprint(batch)]
        print(f"{name}: {process_time() - begun:.0f} s of CPU", flush=True)
        if file is not None:
            sizes = [len(q) for q in prints[name]]
            np.savez(file, rows=np.concatenate(prints[name]), sizes=sizes)
    return prints


def tables(path: Path, given: argparse.Namespace) -> list[Table]:
    """Tables of one set."""
    kinds = given.kinds
    cells = labelled_cells(path, given.forces).cells
    energies = np.array([energy_per_atom(atoms) for atoms in cells])
    low = np.flatnonzero(energies <= energies.min() + WITHIN)
    # cells for training have no other keys than their labels
    required = ("energy", "forces", "periodic") if given.forces else ("energy",)
    groups = [atoms.info.get("group") for atoms in read_cells(path, required).cells]
    cells = [cells[index] for index in low]
    is_new = np.array([groups[index] in kinds for index in low])
    if kinds and not is_new.any():
        raise ValueError(f"{path} has no cell of {', '.join(kinds)}, but {sorted(set(groups))}")
    if given.expanded:
        volumes = np.array([atoms.get_volume() / len(atoms) for atoms in cells])
        is_new |= volumes > np.median(volumes)
    name = path.name.split(".")[0]
    prints = all_prints(cells, given.fingerprints, given.cache, name)
    by_seed = []
    for seed in SEEDS:
        begun = process_time()
        by_seed.append(cases(cells, prints, is_new, seed, given.forces))
        print(f"{path.name} {kinds} seed {seed}: {process_time() - begun:.0f} s of CPU", flush=True)
    missing = [*kinds, *(["more than the median volume"] if given.expanded else [])]
    split = f"trained without {' and '.join(missing)}" if missing else "half at random"
    return [
        Table(f"{name}, {split}: {model}", COLUMNS, rows([each[model] for each in by_seed]))
        for model in by_seed[0]
    ]


def student_tables(path: Path, given: argparse.Namespace) -> list[Table]:
    """Tables of the students of a benchmark of selectors."""
    cells = labelled_cells(path, given.forces).cells
    prints = all_prints(cells, given.fingerprints, given.cache, path.name.split(".")[0])
    targets = [energy_per_atom(atoms) for atoms in cells]
    largest: dict[str, int] = {}
    by_student: dict[str, list[Case]] = {}
    points = [
        json.loads(file.read_text())
        for file in sorted((given.bench / "points").glob("*/random-*.json"))
    ]
    for point in points:
        largest[point["student"]] = max(point["size"], largest.get(point["student"], 0))
    for point in points:
        student = point["student"]
        if point["size"] != largest[student]:
            continue
        test = split_by_target(targets, NETWORK_SHARES, point["seed"])["test"]
        by_cell, _ = predictors(cells, prints, point["chosen"], test)
        own = point["calibration"]["energy"]
        by_cell["its own deviation"] = np.array(own["spread"])
        by_student.setdefault(student, []).append(Case(np.array(own["error"]), by_cell))
    return [
        Table(f"{path.name}: student {name}, {largest[name]} cells", COLUMNS, rows(every))
        for name, every in by_student.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path, help="labelled cells, extended XYZ")
    parser.add_argument("--kinds", nargs="*", default=[], help="groups that are tested alone")
    parser.add_argument("--expanded", action="store_true", help="test large volumes alone")
    parser.add_argument("--forces", action="store_true", help="test forces by atom, too")
    parser.add_argument(
        "--fingerprints",
        nargs="*",
        default=list(FINGERPRINTS),
        choices=list(FINGERPRINTS),
        help="what γ is measured by; GOM must be among them",
    )
    parser.add_argument("--bench", type=Path, help="folder of a benchmark of selectors")
    parser.add_argument("--cache", type=Path, help="folder that keeps fingerprints for another run")
    parser.add_argument("--output", type=Path, help="Markdown file to append to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.cache:
        given.cache.mkdir(parents=True, exist_ok=True)
    text = ""
    for path in given.sets:
        for table in (student_tables if given.bench else tables)(path, given):
            text += markdown(vars(table)) + "\n\n"
    print(text)
    if given.output:
        with given.output.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
