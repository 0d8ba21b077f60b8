import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from allegro.model import AllegroModel
from ase import Atoms
from ase.build import bulk
from cells import rattled, skewed
from nequip.integrations.ase import NequIPCalculator
from nequip.integrations.utils import basic_transforms
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

import entropy_flows
from entropy_flows.batch import Batch
from entropy_flows.potentials import BatchOfOne, compile_model, load_batch_model, load_calculator
from entropy_flows.potentials.nequip_features import NequIPFeatures
from entropy_flows.potentials.nequip_model import NequIPModel
from entropy_flows.potentials.scope import default_dtype, generators_untouched

SI_SMALL = Path(entropy_flows.__file__).parent / "models" / "si-small.nequip.zip"
NAMES = ["O", "Si"]
COMMON = {
    "seed": 1,
    "model_dtype": "float64",
    "type_names": NAMES,
    "r_max": 4.0,
    "per_edge_type_cutoff": {"O": 3.0, "Si": {"O": 3.5, "Si": 4.0}},
    "avg_num_neighbors": 10.0,
    "per_type_energy_shifts": {"O": -3.0, "Si": -5.0},
    "l_max": 1,
}
ALLEGRO = {
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 4},
    "num_layers": 1,
    "num_scalar_features": 4,
    "num_tensor_features": 2,
}
OXIDES = (
    skewed("Si2O4", seed=1),
    skewed("OSi", seed=2, edge=2.6),
    skewed("Si5O3", seed=3, edge=4.0),
)
SILICON = (rattled(repeat=1), rattled(seed=1), skewed("Si3", seed=4), bulk("Si", cubic=True))


@pytest.fixture(scope="module", params=[AllegroModel, NequIPGNNModel])
def untrained(request):
    """A model with random weights in double precision, with cutoffs that depend on the elements."""
    options = ALLEGRO if request.param is AllegroModel else {"num_layers": 2, "num_features": 4}
    with generators_untouched(), default_dtype("float64"):
        set_global_state(allow_tf32=False)
        return request.param(**options, **COMMON).eval()


@pytest.fixture(scope="module")
def small():
    return load_batch_model(SI_SMALL)


def assert_equal(model, calculator, cells, relative=1e-9, absolute=1e-12):
    """A batch's results are those of its cells one by one."""
    batch = Batch.of(cells)
    result, first = model(batch), batch.cells.first
    assert {tensor.dtype for tensor in (result.energy, result.forces, result.stress)} == {
        torch.float64
    }
    assert not result.forces.requires_grad
    for index, atoms in enumerate(cells):
        alone = atoms.copy()
        alone.calc = calculator
        forces = result.forces[first[index] : first[index + 1]].numpy()
        assert result.energy[index].item() == pytest.approx(
            alone.get_potential_energy(), rel=relative
        )
        np.testing.assert_allclose(forces, alone.get_forces(), atol=absolute)
        np.testing.assert_allclose(
            result.stress[index].numpy(), alone.get_stress(voigt=False), atol=absolute
        )


def test_equals_the_calculator_in_double_precision(untrained):
    types = basic_transforms(untrained.metadata, 4.0, NAMES, {name: name for name in NAMES})
    model = NequIPModel(untrained, untrained.metadata, "cpu")

    with default_dtype("float64"):
        calculator = NequIPCalculator(untrained, "cpu", transforms=types)
        for cells in (OXIDES, OXIDES[1:], OXIDES[:1]):
            assert_equal(model, calculator, cells)


def test_the_package_equals_its_calculator(small):
    assert isinstance(small, NequIPModel)
    for cells in (SILICON, SILICON[2:3]):
        assert_equal(
            small, load_calculator(SI_SMALL), cells, 1e-7, 1e-5
        )  # computes in single precision


def test_atoms_that_moved_in_the_same_cells(small):
    batch = Batch.of(SILICON)
    small(batch)
    moved = batch.at(batch.positions + 0.05 * torch.sin(batch.positions))
    positions = moved.positions.clone()

    with torch.no_grad():
        result = small(moved)
    again = small(Batch.of(moved.structures()))
    assert torch.equal(result.energy, again.energy)
    assert torch.equal(result.forces, again.forces)
    assert torch.equal(moved.positions, positions)
    assert not moved.positions.requires_grad


def test_static_inputs_go_with_their_cells(small):
    batch = Batch.of(SILICON)
    small(batch)
    assert batch.cells in small._static
    before = len(small._static)
    del batch
    assert len(small._static) < before


def test_cells_without_neighbours(small):
    separated = Atoms("Si2", [[0, 0, 0], [9, 0, 0]], cell=[20, 20, 20], pbc=True)
    for cells in ([separated], [separated, separated], [separated, SILICON[0]]):
        result = small(Batch.of(cells))
        assert result.forces[:2].abs().max() == 0
        assert result.stress[0].abs().max() == 0
    assert_equal(small, load_calculator(SI_SMALL), [separated, SILICON[0]], 1e-7, 1e-5)


def test_a_molecule_has_no_stress(small):
    result = small(Batch.of([Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]), SILICON[0]]))

    assert result.stress[0].isnan().all()
    assert result.stress[1].isfinite().all()
    assert result.forces[0, 0].abs() > 0.1


def test_wrong_input_is_named(small):
    with pytest.raises(ValueError, match="does not know C, Ge; its elements are Si"):
        small(Batch.of([bulk("Ge"), bulk("SiC", "zincblende", a=4.4)]))
    with pytest.raises(ValueError, match="types are Si, Si_surface; they must be elements"):
        NequIPModel(None, {"r_max": 5.0, "type_names": "Si Si_surface"}, "cpu")
    with pytest.raises(ValueError, match="the batch is on meta, the model on cpu"):
        small(Batch.of([bulk("Si")], "meta"))


@pytest.mark.parametrize(
    ("package", "output", "message"),
    [
        ("missing.nequip.zip", "m.nequip.pt2", "missing.nequip.zip does not exist"),
        (str(SI_SMALL), "m.pt2", "m.pt2 must end in .nequip.pt2"),
        (__file__, "m.nequip.pt2", "expected a path ending in .nequip.zip"),
    ],
)
def test_what_cannot_be_compiled(package, output, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        compile_model(package, tmp_path / output)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compiled_for_batches(tmp_path):
    path = tmp_path / "si.nequip.pt2"
    entropy_flows = [str(Path(sys.executable).with_name("entropy-flows"))]
    command = [*entropy_flows, "model", str(SI_SMALL), "--for", "compiled", "-o", str(path)]
    subprocess.run(command, check=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1
    assert "give --overwrite to replace it" in again.stderr
    model, eager, calculator = (
        load_batch_model(path),
        load_calculator(SI_SMALL),
        load_calculator(path),
    )

    assert torch.get_default_dtype() == torch.float32
    assert isinstance(calculator, BatchOfOne)
    separated = Atoms("Si2", [[0, 0, 0], [9, 0, 0]], cell=[20, 20, 20], pbc=True)
    one = skewed("Si", edge=2.5)  # an atom and its images
    for cells in (
        SILICON,
        SILICON[:1],
        [one],
        [separated],
        [separated, separated],
        [one, separated, *SILICON],
    ):
        assert_equal(model, eager, cells, 1e-6, 2e-5)
    assert_equal(model, calculator, SILICON, 1e-6, 2e-5)
    model(Batch.of(SILICON)).forces.add_(1.0)  # what it gives may be changed
    with pytest.raises(ValueError, match="does not know Ge"):
        model(Batch.of([bulk("Ge")]))


def test_the_energy_is_linear_in_the_features(untrained):
    """Sums of features and numbers of atoms: 34 unknowns at most, and more cells."""
    cells = [skewed(symbols, seed) for symbols in ("Si2O", "SiO2", "O2Si2") for seed in range(20)]
    batch = Batch.of(cells)
    model = NequIPModel(untrained, untrained.metadata, "cpu")
    energies = model(batch).energy.numpy()
    features = NequIPFeatures(model)
    q = features(batch.cells, features.pairs(batch)).detach().numpy()
    sums = np.add.reduceat(q, batch.cells.first[:-1])
    counts = [[atoms.symbols.count(symbol) for symbol in NAMES] for atoms in cells]
    inputs = np.column_stack([sums, counts])
    weights = np.linalg.lstsq(inputs, energies, rcond=1e-12)[0]
    np.testing.assert_allclose(inputs @ weights, energies, atol=1e-8 * np.ptp(energies))
