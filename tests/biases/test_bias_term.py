"""The term that other programs add is our own surface without its base model."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from cells import numerical_gradient, numerical_strain_gradient
from known_biases import BIASES, CELLS, DATASET, KNOWN

from entropy_flows.biases import BiasTerm, dataset_bias, local_bias, target_bias
from entropy_flows.conventions import to_matrix
from entropy_flows.entropy import BiasedSurface


class Nothing(Calculator):
    """No energy, so that a biased surface is its bias."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(atoms), 3))
        self.results = {"energy": 0.0, "forces": forces, "stress": np.zeros(6)}


def tensors(cells):
    """What a program of dynamics has."""
    return (
        torch.from_numpy(np.concatenate([atoms.positions for atoms in cells])),
        torch.from_numpy(np.concatenate([atoms.numbers for atoms in cells])),
        torch.from_numpy(np.array([np.asarray(atoms.cell) for atoms in cells])),
        torch.from_numpy(np.array([atoms.pbc for atoms in cells])),
        torch.from_numpy(np.repeat(np.arange(len(cells)), [len(atoms) for atoms in cells])),
    )


def energy_of(term):
    return lambda atoms: term(*tensors([atoms])).energy.item()


@pytest.mark.parametrize("kind", BIASES)
def test_equals_our_own_surface(kind):
    bias = BIASES[kind]()
    term = BiasTerm(bias, k=0.7)
    (mode,) = getattr(bias, "statistics", ["atom"])
    output = term(*tensors(CELLS))
    first = 0
    for index, atoms in enumerate(CELLS):
        surface = BiasedSurface(Nothing(), bias, 0.7, mode)
        assert output.energy[index] == pytest.approx(surface.get_potential_energy(atoms), abs=1e-10)
        forces = output.forces[first : first + len(atoms)].numpy()
        np.testing.assert_allclose(forces, surface.get_forces(atoms), rtol=0, atol=1e-10)
        stress = to_matrix(surface.get_stress(atoms))
        np.testing.assert_allclose(output.stress[index].numpy(), stress, rtol=0, atol=1e-10)
        measure = surface.results[bias.name]
        assert output.measure[index].item() == pytest.approx(measure, abs=1e-10)
        first += len(atoms)
    assert output.forces.abs().max() > 1e-3


@pytest.mark.parametrize("kind", BIASES)
def test_forces_and_stress_are_derivatives(kind):
    term, atoms = BiasTerm(BIASES[kind](), k=0.7), CELLS[1]
    output = term(*tensors([atoms]))
    scale = max(1.0, output.forces.abs().max().item())
    numerical = -numerical_gradient(energy_of(term), atoms)
    np.testing.assert_allclose(output.forces.numpy(), numerical, rtol=0, atol=1e-6 * scale)
    strained = numerical_strain_gradient(energy_of(term), atoms) / atoms.get_volume()
    np.testing.assert_allclose(output.stress[0].numpy(), strained, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("kind", BIASES)
def test_a_cell_knows_nothing_of_the_others_of_its_batch(kind):
    term = BiasTerm(BIASES[kind](), k=0.4)
    together = term(*tensors(CELLS))
    backwards = term(*tensors(CELLS[::-1]))
    alone = [term(*tensors([atoms])) for atoms in CELLS]
    forces = torch.cat([output.forces for output in alone])
    energies = torch.cat([output.energy for output in alone])
    assert torch.allclose(together.energy, energies, rtol=0, atol=1e-11)
    assert torch.allclose(together.forces, forces, rtol=0, atol=1e-11)
    assert torch.allclose(backwards.energy, energies.flip(0), rtol=0, atol=1e-11)


def test_a_supercell_is_one_more_cell_with_the_same_mean():
    """B is a cell's, not an atom's: twice the atoms share its forces, and half the stress."""
    term, atoms = BiasTerm(BIASES["configurations"](), k=0.4), CELLS[2]
    one, two = (term(*tensors([cell])) for cell in (atoms, atoms * (1, 1, 2)))
    assert two.energy.item() == pytest.approx(one.energy.item(), abs=1e-9)
    halves = two.forces.view(2, len(atoms), 3)
    assert torch.allclose(halves[0], halves[1], rtol=0, atol=1e-9)
    assert torch.allclose(halves.sum(0), one.forces, rtol=0, atol=1e-9)
    assert torch.allclose(2 * two.stress, one.stress, rtol=0, atol=1e-9)


def test_the_strength_is_a_number_that_may_change():
    term = BiasTerm(BIASES["dataset"](), k=1.0)
    one = term(*tensors(CELLS))
    term.k = -2.0
    two = term(*tensors(CELLS))
    for name in ("energy", "forces", "stress"):
        assert torch.allclose(getattr(two, name), -2 * getattr(one, name))
    assert torch.equal(one.measure, two.measure)
    with pytest.raises(ValueError, match="k is nan; it must be a finite energy"):
        term.k = float("nan")


def test_another_cell_species_or_place_is_seen():
    """Tables that stay while atoms move are kept between calls, and only then."""
    term, atoms = BiasTerm(local_bias(["Si", "C"]), k=1.0), CELLS[1]
    first = energy_of(term)(atoms)
    moved, larger, other = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[0] += 0.2
    larger.set_cell(atoms.cell * 1.05)
    other.symbols[0] = "C"
    cluster = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=False)
    energies = [first, *(energy_of(term)(cell) for cell in (moved, larger, other, cluster))]
    assert len({round(energy, 6) for energy in energies}) == 5
    assert energy_of(term)(atoms) == first


def test_a_molecule_has_no_stress():
    term = BiasTerm(local_bias(["Si"]), k=1.0)
    cluster = Atoms("Si3", [[0, 0, 0], [2.3, 0, 0], [0, 2.6, 0]])
    output = term(*tensors([cluster]))
    assert output.stress.abs().max() == 0
    assert output.forces.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dataset_bias([]), "no cells"),
        (lambda: target_bias([]), "the target has no cells"),
        (
            lambda: BiasTerm(dataset_bias(KNOWN, DATASET), 1.0, mode="config"),
            "mode is 'config'; the data set has atom",
        ),
        (
            lambda: BiasTerm(local_bias(["Si"]), 1.0)(*tensors([bulk("Cu")])),
            "Cu",
        ),
    ],
)
def test_what_cannot_be_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_atoms_of_a_cell_follow_one_another():
    positions, numbers, lattice, pbc, owner = tensors(CELLS)
    term = BiasTerm(local_bias(["Si"]), 1.0)
    with pytest.raises(ValueError, match="must follow one another"):
        term(positions, numbers, lattice, pbc, owner.flip(0))
