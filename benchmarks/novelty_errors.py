"""Does a grade say where a model errs? Novelty and a committee's spread against true errors.

    python -m benchmarks.novelty_errors si_mlearn.extxyz.gz si_random_cells.extxyz.gz

For each labelled set and three seeds, one half of the cells is drawn at random to train on, and the
other is the test. The model is the mean of five small networks on GOM fingerprints
(`entropy_flows.bench.network`), the committee is the same five networks. The novelty has the
training half as its data set and everything as `entropy-flows novelty` has it by default. So both
predictors come from the same cells; one of them knows the labels and the model, the other does not.

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
from entropy_flows.bench.pool import labelled_cells
from entropy_flows.conventions import Array
from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.novelty import Novelty, with_elements
from entropy_flows.fingerprints import make_fingerprint
from entropy_flows.label.extxyz import read_cells
from entropy_flows.train import energy_per_atom

SEEDS = (1, 2, 3)
WITHIN = 5.0
"""Energy (eV/atom) above the lowest, up to which cells count, as in the comparison of selectors."""
WORST = 0.1
PERMUTATIONS = 1000
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


def cases(
    cells: Sequence[Atoms], is_new: np.ndarray, seed: int, forces: bool
) -> tuple[Case, Case | None]:
    """Energies by cell, and forces by atom."""
    train, test = halves(is_new, seed)
    dataset: DatasetParams = with_elements(None, cells)
    fingerprint = make_fingerprint(dataset.fingerprint)
    prints = fingerprint(cells)
    targets = np.array([energy_per_atom(atoms) for atoms in cells])
    params = NetworkParams()
    networks = Networks.trained([prints[index] for index in train], targets[train], params, seed)
    novelty = Novelty.from_prints(
        dataset, [cells[index] for index in train], [prints[index] for index in train]
    )
    grades = [novelty.grades_from(cells[index], prints[index]) for index in test]
    predicted = networks.predict([prints[index] for index in test])
    error = np.abs(predicted.mean(axis=0) - targets[test])
    print(
        f"  train {len(train)}, test {len(test)}, MAE {1e3 * error.mean():.0f} meV/atom", flush=True
    )
    worst = np.array([each.max() for each in grades])
    spread = predicted.std(axis=0, ddof=1)
    energy = Case(error, {"novelty γ": worst, "committee's spread": spread})
    if not forces:
        return energy, None
    by_member = [forces_of(networks, fingerprint, cells[index]) for index in test]
    labels = [cells[index].get_forces() for index in test]
    force_error = [
        np.linalg.norm(many.mean(axis=0) - label, axis=1)
        for many, label in zip(by_member, labels, strict=True)
    ]
    force_spread = [np.sqrt(many.var(axis=0, ddof=1).sum(axis=1)) for many in by_member]
    error = np.concatenate(force_error)
    size = np.linalg.norm(np.concatenate(labels), axis=1).mean()
    print(f"  mean force error {error.mean():.2f} eV/Å, mean force {size:.2f} eV/Å", flush=True)
    predictors = {"novelty γ": np.concatenate(grades)}
    predictors["committee's spread"] = np.concatenate(force_spread)
    return energy, Case(error, predictors)


def tables(path: Path, kinds: Sequence[str], expanded: bool, forces: bool) -> list[Table]:
    """Tables of one set."""
    cells = labelled_cells(path, forces).cells
    energies = np.array([energy_per_atom(atoms) for atoms in cells])
    low = np.flatnonzero(energies <= energies.min() + WITHIN)
    # cells for training have no other keys than their labels
    required = ("energy", "forces", "periodic") if forces else ("energy",)
    groups = [atoms.info.get("group") for atoms in read_cells(path, required).cells]
    cells = [cells[index] for index in low]
    is_new = np.array([groups[index] in kinds for index in low])
    if kinds and not is_new.any():
        raise ValueError(f"{path} has no cell of {', '.join(kinds)}, but {sorted(set(groups))}")
    if expanded:
        volumes = np.array([atoms.get_volume() / len(atoms) for atoms in cells])
        is_new |= volumes > np.median(volumes)
    pairs = []
    for seed in SEEDS:
        begun = process_time()
        pairs.append(cases(cells, is_new, seed, forces))
        print(f"{path.name} {kinds} seed {seed}: {process_time() - begun:.0f} s of CPU", flush=True)
    name = path.name.split(".")[0]
    missing = [*kinds, *(["more than the median volume"] if expanded else [])]
    split = f"trained without {' and '.join(missing)}" if missing else "half at random"
    energy = Table(f"{name}, {split}: energy per atom", COLUMNS, rows([pair[0] for pair in pairs]))
    by_atom = [pair[1] for pair in pairs if pair[1] is not None]
    if not by_atom:
        return [energy]
    return [energy, Table(f"{name}, {split}: force on an atom", COLUMNS, rows(by_atom))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path, help="labelled cells, extended XYZ")
    parser.add_argument("--kinds", nargs="*", default=[], help="groups that are tested alone")
    parser.add_argument("--expanded", action="store_true", help="test large volumes alone")
    parser.add_argument("--forces", action="store_true", help="test forces by atom, too")
    parser.add_argument("--output", type=Path, help="Markdown file to append to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = ""
    for path in given.sets:
        for table in tables(path, given.kinds, given.expanded, given.forces):
            text += markdown(vars(table)) + "\n\n"
    print(text)
    if given.output:
        with given.output.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
