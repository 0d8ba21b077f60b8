import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import rattled, skewed

from entropy_flows.batch import Batch
from entropy_flows.potentials import load_batch_model, load_calculator

sevennet = pytest.importorskip("entropy_flows.potentials.sevennet", exc_type=ImportError)

CELLS = (skewed("SiO2", seed=1), bulk("NaCl", "rocksalt", a=5.6), rattled(repeat=1), skewed("ClNaO", seed=2, edge=3.0))


@pytest.fixture(scope="module")
def model():
    return load_batch_model("SevenNet-0")


@pytest.fixture(scope="module")
def calculator():
    return load_calculator("SevenNet-0")


@pytest.mark.parametrize("cells", [CELLS, CELLS[:1]], ids=["four", "one"])
def test_equals_the_calculator(model, calculator, cells):
    assert isinstance(model, sevennet.SevenNetModel)
    batch = Batch.of(cells)
    with torch.no_grad():
        result, first = model(batch), batch.cells.first

    assert {tensor.dtype for tensor in (result.energy, result.forces, result.stress)} == {torch.float64}
    for index, atoms in enumerate(cells):
        alone = atoms.copy()
        alone.calc = calculator
        forces = alone.get_forces()
        assert result.energy[index].item() == pytest.approx(alone.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(
            result.forces[first[index] : first[index + 1]].numpy(), forces, atol=1e-5 * max(1.0, np.abs(forces).max())
        )
        stress = alone.get_stress(voigt=False)
        np.testing.assert_allclose(result.stress[index].numpy(), stress, atol=1e-5 * max(1.0, np.abs(stress).max()))


def test_forces_and_stress_are_derivatives_of_the_energy(model):
    batch = Batch.of(CELLS[1:3])
    result = model(batch)
    direction = torch.sin(torch.arange(3 * len(batch.positions), dtype=torch.float64)).view(-1, 3)
    energies = [model(batch.at(batch.positions + h * direction)).energy.sum() for h in (0.01, -0.01)]

    assert (energies[1] - energies[0]) / 0.02 == pytest.approx((result.forces * direction).sum().item(), abs=0.02)
    assert torch.allclose(result.stress, result.stress.mT)


def test_cells_without_neighbours_and_without_a_volume(model):
    apart = Atoms("Si2", [[0, 0, 0], [9, 0, 0]], cell=[20, 20, 20], pbc=True)
    pair = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]])
    for cells in ([apart], [apart, apart], [apart, CELLS[2], pair]):
        result = model(Batch.of(cells))
        assert result.forces[:2].abs().max() == 0
        assert result.stress[0].abs().max() == 0
    assert result.stress[2].isnan().all()
    assert model(Batch.of([apart, CELLS[2]])).stress.isfinite().all()


def test_an_element_it_does_not_know(model):
    with pytest.raises(ValueError, match="does not know Po; its elements are"):
        model(Batch.of([bulk("Po", "sc", a=3.3)]))
