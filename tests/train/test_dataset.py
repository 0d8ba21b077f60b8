import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from entropy_flows.train import TrainParams, fine_tune
from entropy_flows.train.dataset import (
    assign_splits,
    count_edges,
    count_reasons,
    loss_weights,
    stratified_split,
    with_a_pair,
    within_edge_limit,
    write_extxyz,
)
from entropy_flows.train.recipe import small_allegro

FRACTIONS = (0.8, 0.1, 0.1)


def labelled(energy_per_atom=-1.0, stress=True):
    atoms = bulk("Cu", cubic=True)
    results = {"energy": energy_per_atom * len(atoms), "forces": np.arange(12.0).reshape(4, 3)}
    if stress:
        results["stress"] = np.arange(6.0)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def sizes(split):
    return [list(split.values()).count(part) for part in ("train", "val", "test")]


def test_carbons_bins_give_the_published_weights():
    frames = [labelled(e) for e in (-9.0, -7.0, -5.0, -4.0, 0.0)]

    assert loss_weights(frames, ((-7.0, 3.0), (-4.0, 1.0), (None, 0.5))).tolist() == [
        3.0,
        1.0,
        1.0,
        0.5,
        0.5,
    ]
    assert loss_weights(frames, ()).tolist() == [1.0] * 5


def test_edges_are_directed_and_periodic():
    crystal = bulk("Cu", "fcc", a=3.6)  # one atom with 12 images at 2.55 Å and 6 at 3.6 Å

    assert count_edges(crystal, 3.0) == 12
    assert count_edges(crystal, 3.7) == 18
    assert count_edges(Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]), 1.0) == 2


def test_cells_over_the_edge_limit_are_named_with_the_reason():
    small, large = bulk("Cu"), bulk("Cu", cubic=True)

    accepted, left_out = within_edge_limit([small, large, small], max_edges=12, cutoff=3.0)

    assert accepted == [small, small]
    assert left_out[0].position == 1
    assert left_out[0].reason == "too many edges: 48 within 3.0 Å, the limit is 12"


def test_cells_without_a_pair_are_named_with_the_reason():
    alone = Atoms("Cu", cell=[20] * 3, pbc=True)
    molecule = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])
    accepted, left_out = with_a_pair([alone, bulk("Cu"), Atoms("Cu"), molecule], cutoff=2.4)
    assert accepted == [molecule]
    assert left_out[0] == (0, "no neighbour pair: none within the model's cutoff of 2.4 Å")
    assert [item.position for item in left_out] == [0, 1, 2]
    assert count_reasons([*left_out, (3, "too many edges: 9 within 7 Å, the limit is 8")]) == {
        "no neighbour pair": 3,
        "too many edges": 1,
    }


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1, 0, 0]),
        (2, [2, 0, 0]),
        (3, [1, 1, 1]),
        (5, [3, 1, 1]),
        (20, [16, 2, 2]),
        (100, [80, 10, 10]),
    ],
)
def test_split_sizes(n, expected):
    assert sizes(stratified_split(np.linspace(-5, 5, n), range(n), FRACTIONS, seed=1)) == expected


def test_split_is_deterministic_and_does_not_depend_on_the_order():
    energies = np.random.default_rng(0).normal(size=50)
    split = stratified_split(energies, range(50), FRACTIONS, seed=3)

    assert stratified_split(energies[::-1], range(50)[::-1], FRACTIONS, seed=3) == split
    assert stratified_split(energies, range(50), FRACTIONS, seed=4) != split


def test_every_part_spans_the_energies():
    energies = np.linspace(0.0, 1.0, 100)
    split = stratified_split(energies, range(100), FRACTIONS, seed=5)

    for part in ("val", "test"):
        chosen = np.sort([energies[key] for key, value in split.items() if value == part])
        strata = np.floor(chosen * 10).clip(max=9)
        assert (
            np.abs(strata - np.arange(10)).max() <= 1
        )  # one of each tenth, up to the shift of the first draw


def test_assigned_cells_keep_their_part_as_the_set_grows():
    rng = np.random.default_rng(0)
    energies = rng.normal(size=200)
    split: dict = {}
    for n in (7, 30, 31, 90, 200):
        grown = assign_splits(split, energies[:n], range(n), FRACTIONS, seed=1)
        assert {key: grown[key] for key in split} == split
        assert sizes(grown)[1:] == [max(1, round(0.1 * n))] * 2
        split = grown


def test_one_new_cell_always_trains_when_it_is_alone():
    assert assign_splits({}, [0.0], ["a"], FRACTIONS, seed=0) == {"a": "train"}


def test_repeated_keys_are_an_error():
    with pytest.raises(ValueError, match="2 keys, 1 of them different"):
        stratified_split([0.0, 1.0], ["a", "a"], FRACTIONS, seed=0)


def test_extxyz_keeps_labels_and_weights(tmp_path):
    write_extxyz(tmp_path / "x.extxyz", [labelled(), labelled(stress=False)], [1.0, 0.5])
    first, second = read(tmp_path / "x.extxyz", ":")

    assert first.get_potential_energy() == -4.0
    assert np.array_equal(first.get_forces(), np.arange(12.0).reshape(4, 3))
    assert np.allclose(first.get_stress(), np.arange(6.0))
    assert np.isnan(second.get_stress()).all()
    assert [atoms.info["structure_weight"] for atoms in (first, second)] == [1.0, 0.5]


def test_a_cell_without_forces_is_an_error(tmp_path):
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(atoms, energy=0.0)

    with pytest.raises(ValueError, match=r"cell 0 .* has no forces"):
        write_extxyz(tmp_path / "x.extxyz", [atoms], [1.0])


def test_a_new_model_without_a_pair_to_learn_from_is_refused(tmp_path):
    pytest.importorskip("allegro")
    cells = [labelled(), labelled(-1.1)]
    model = small_allegro(["Cu"], cutoff=2.0)
    with pytest.raises(
        ValueError, match=r"none of 2 training cells has a neighbour pair within .* cutoff of 2 Å"
    ):
        fine_tune(cells, [], [], model, TrainParams(preset="small", max_epochs=1), tmp_path / "t")
