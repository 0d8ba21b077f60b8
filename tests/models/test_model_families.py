"""CHGNet, MatGL and metatomic in their own environments: batches, derivatives, refusals."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from cells import rattled, skewed, strained
from small_models import labelled

from entropy_flows.batch import Batch
from entropy_flows.environments import RefusalError
from entropy_flows.potentials import load_batch_model, load_calculator, with_arguments

pytestmark = [pytest.mark.models, pytest.mark.timeout(1800)]

TENSORNET = """
import zipfile
import torch
from matgl.apps.pes import Potential
from matgl.models import TensorNet

torch.manual_seed(0)
sizes = {"units": 8, "num_rbf": 4, "nblocks": 1, "cutoff": 4.0, "is_intensive": False}
model = TensorNet(element_types=("O", "Si"), **sizes)
Potential(model, element_refs=[0.5, -1.0]).save("tensornet")
with zipfile.ZipFile("tensornet.matgl.zip", "w") as archive:
    for name in ("model.pt", "state.pt", "model.json"):
        archive.write(f"tensornet/{name}", name)
"""
PET = {
    "architecture": {
        "name": "pet",
        "model": {
            "cutoff": 4.0,
            **dict.fromkeys(("d_pet", "d_node", "d_head", "d_feedforward"), 8),
            **dict.fromkeys(("num_heads", "num_attention_layers", "num_gnn_layers"), 1),
        },
        "training": {"num_epochs": 1, "batch_size": 4},
    },
}


def data_section(file):
    energy = {"key": "energy", "unit": "eV", "forces": {"key": "forces"}}
    systems = {"read_from": file, "length_unit": "angstrom"}
    return {"systems": systems, "targets": {"energy": {**energy, "stress": {"key": "stress"}}}}


@pytest.fixture(scope="module")
def chgnet(environment):
    return with_arguments("CHGNet", {"environment": str(environment("chgnet"))})


@pytest.fixture(scope="module")
def tensornet(environment, run_there, tmp_path_factory):
    """A TensorNet with random weights, in the files that MatGL writes."""
    folder = tmp_path_factory.mktemp("matgl")
    run_there("matgl", "-c", TENSORNET, cwd=folder)
    name = folder / "tensornet.matgl.zip"
    return with_arguments(name, {"environment": str(environment("matgl"))})


@pytest.fixture(scope="module")
def pet(environment, run_there, tmp_path_factory):
    """A PET that metatrain has trained for one epoch."""
    folder = tmp_path_factory.mktemp("pet")
    for name, seeds in (("train", range(8)), ("val", range(8, 11))):
        write(folder / f"{name}.extxyz", [labelled(seed) for seed in seeds], format="extxyz")
    options = {
        **PET,
        "training_set": data_section("train.extxyz"),
        "validation_set": data_section("val.extxyz"),
    }
    (folder / "options.yaml").write_text(json.dumps(options))
    program = ("-m", "metatrain", "train", "options.yaml", "-o", "pet.metatomic.pt")
    run_there("metatrain", *program, cwd=folder)
    name = folder / "pet.metatomic.pt"
    return with_arguments(name, {"environment": str(environment("metatrain"))})


@pytest.mark.parametrize("family", ["chgnet", "tensornet", "pet"])
def test_a_batch_equals_the_calculator_and_its_derivatives(family, request):
    """In single precision: 1e-4 of what is compared, and differences over 0.02 Å."""
    model = request.getfixturevalue(family)
    batched, calculator = load_batch_model(model), load_calculator(model)
    cells = [rattled(repeat=1, seed=1), strained(rattled(repeat=1, seed=2), 0.05 * np.eye(3))]
    batch = Batch.of(cells)
    result = batched(batch)
    for index, atoms in enumerate(cells):
        first, end = batch.cells.first[index : index + 2]
        alone = atoms.copy()
        alone.calc = calculator
        energy = result.energy[index].item()
        assert energy == pytest.approx(alone.get_potential_energy(), rel=1e-5, abs=1e-5)
        forces = alone.get_forces()
        np.testing.assert_allclose(result.forces[first:end].numpy(), forces, atol=2e-4)
        stress = alone.get_stress(voigt=False)
        np.testing.assert_allclose(result.stress[index].numpy(), stress, atol=1e-5)
    slopes = differences(batched, cells[1])
    forces, stress = result.forces[-1].numpy(), result.stress[1].numpy()
    scale = max(np.abs(forces).max(), 0.01)
    np.testing.assert_allclose(forces, slopes[:3], atol=0.03 * scale + 1e-3)
    assert np.trace(stress) == pytest.approx(slopes[3], rel=0.05, abs=3e-4)


def differences(model, atoms, step=0.01, strain=0.003):
    """Forces on the last atom, and the trace of the stress, by central differences."""
    moved = []
    for sign in (1, -1):
        for axis in range(3):
            cell = atoms.copy()
            cell.positions[-1, axis] += sign * step
            moved.append(cell)
        moved.append(strained(atoms, sign * strain * np.eye(3)))
    energies = model(Batch.of(moved)).energy.numpy()
    slopes = energies[:4] - energies[4:]
    return [*(-slopes[:3] / (2 * step)), slopes[3] / (2 * strain * atoms.get_volume())]


def test_one_cell_and_elements(tensornet, chgnet):
    silica = skewed("SiO2", seed=1)
    for model in (tensornet, chgnet):
        assert load_batch_model(model)(Batch.of([silica])).energy.shape == (1,)
    with pytest.raises(RefusalError, match="does not know the elements of atomic numbers"):
        load_batch_model(tensornet)(Batch.of([skewed("NaCl", seed=1)]))
    with pytest.raises(RefusalError, match="repeat in three directions"):
        load_batch_model(chgnet)(Batch.of([Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]], cell=[9] * 3)]))


def test_the_models_in_chgnets_wheel_differ(environment):
    folder = str(environment("chgnet"))
    cell = Batch.of([rattled(repeat=1, seed=1)])
    energies = {}
    for name in ("CHGNet", "CHGNet-r2SCAN", "chgnet-0.3.0"):
        model = load_batch_model(with_arguments(name, {"environment": folder}))
        energies[name] = model(cell).energy.item()

    assert energies["CHGNet"] == energies["chgnet-0.3.0"]
    assert abs(energies["CHGNet"] - energies["CHGNet-r2SCAN"]) > 0.1
