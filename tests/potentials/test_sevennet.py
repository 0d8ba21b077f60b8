import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from cells import rattled, skewed

from entropy_flows.batch import Batch
from entropy_flows.label import LabelParams, engine_of, make_static_maker
from entropy_flows.potentials import (
    check_elements,
    load_batch_model,
    load_calculator,
    model_elements,
    with_arguments,
)

checkpoints = pytest.importorskip(
    "entropy_flows.potentials.sevennet_checkpoint", exc_type=ImportError
)

CELLS = (
    skewed("SiO2", seed=1),
    bulk("NaCl", "rocksalt", a=5.6),
    rattled(repeat=1),
    skewed("ClNaO", seed=2, edge=3.0),
)


@pytest.fixture(scope="module")
def model():
    return load_batch_model("SevenNet-0")


@pytest.fixture(scope="module")
def calculator():
    return load_calculator("SevenNet-0")


@pytest.mark.parametrize("cells", [CELLS, CELLS[:1]], ids=["four", "one"])
def test_equals_the_calculator(model, calculator, cells):
    assert type(model).__name__ == "SevenNetModel"
    batch = Batch.of(cells)
    with torch.no_grad():
        result, first = model(batch), batch.cells.first

    assert {tensor.dtype for tensor in (result.energy, result.forces, result.stress)} == {
        torch.float64
    }
    for index, atoms in enumerate(cells):
        alone = atoms.copy()
        alone.calc = calculator
        forces = alone.get_forces()
        assert result.energy[index].item() == pytest.approx(alone.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(
            result.forces[first[index] : first[index + 1]].numpy(),
            forces,
            atol=1e-5 * max(1.0, np.abs(forces).max()),
        )
        stress = alone.get_stress(voigt=False)
        np.testing.assert_allclose(
            result.stress[index].numpy(), stress, atol=1e-5 * max(1.0, np.abs(stress).max())
        )


def test_forces_and_stress_are_derivatives_of_the_energy(model):
    batch = Batch.of(CELLS[1:3])
    result = model(batch)
    direction = torch.sin(torch.arange(3 * len(batch.positions), dtype=torch.float64)).view(-1, 3)
    energies = [
        model(batch.at(batch.positions + h * direction)).energy.sum() for h in (0.01, -0.01)
    ]

    assert (energies[1] - energies[0]) / 0.02 == pytest.approx(
        (result.forces * direction).sum().item(), abs=0.02
    )
    assert torch.allclose(result.stress, result.stress.mT)


def test_cells_without_neighbours_and_without_a_volume(model):
    separated = Atoms("Si2", [[0, 0, 0], [9, 0, 0]], cell=[20, 20, 20], pbc=True)
    pair = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]])
    for cells in ([separated], [separated, separated], [separated, CELLS[2], pair]):
        result = model(Batch.of(cells))
        assert result.forces[:2].abs().max() == 0
        assert result.stress[0].abs().max() == 0
    assert result.stress[2].isnan().all()
    assert model(Batch.of([separated, CELLS[2]])).stress.isfinite().all()


def test_an_element_it_does_not_know(model):
    with pytest.raises(ValueError, match="does not know Po; its elements are"):
        model(Batch.of([bulk("Po", "sc", a=3.3)]))


@pytest.mark.parametrize("modal", ["PBE", pytest.param("R2SCAN", marks=pytest.mark.slow)])
def test_a_model_of_several_modalities(modal):
    """Comes in SevenNet's wheel; both of its modalities, one by one and in a batch."""
    name = with_arguments("7net-mf-0", {"modal": modal})
    calculator, model = load_calculator(name), load_batch_model(name)
    result = model(Batch.of(CELLS[:2]))
    for index, atoms in enumerate(CELLS[:2]):
        alone = atoms.copy()
        alone.calc = calculator
        assert result.energy[index].item() == pytest.approx(alone.get_potential_energy(), rel=1e-6)
    assert calculator.modal == modal


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "7net-mf-0",
            "needs one of its modalities R2SCAN, PBE, which is not given; "
            "write {name: 7net-mf-0, modal: R2",
        ),
        (
            'SevenNet-MF-0?{"modal": "HSE"}',
            "needs one of its modalities R2SCAN, PBE, which is not 'HSE'",
        ),
        ('SevenNet-0?{"modal": "PBE"}', "has no modalities, got modal 'PBE'"),
        ("7net-l3i55", "SevenNet has no model '7net-l3i55'; did you mean '7net-l3i5'?"),
    ],
)
def test_what_a_name_cannot_be_is_told_without_loading(model, expected):
    with pytest.raises(ValueError, match=r"SevenNet|7net") as caught:
        check_elements(model, ["Si"], "base_model")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "name", ["SevenNet", "SevenNet-0", "7net-0", "SEVENNET-0", "7net-0_11jul2024"]
)
def test_one_model_has_one_name(name):
    """As a base model and as a label engine."""
    assert checkpoints.checkpoint_file(name) == checkpoints.checkpoint_file("SevenNet-0")
    label = make_static_maker(LabelParams(engine="forcefield", model=name))
    if "_" not in name:
        assert (
            engine_of(label).hash
            == engine_of(make_static_maker(LabelParams(engine="forcefield"))).hash
        )
    assert "Po" not in model_elements(name)


def test_a_modality_is_a_teacher_of_its_own():
    engines = {}
    for modal in ("PBE", "R2SCAN"):
        params = LabelParams(engine="forcefield", model={"name": "7net-mf-0", "modal": modal})
        engines[modal] = engine_of(make_static_maker(params))
        planned = params.make_engine()
        assert planned.hash == engines[modal].hash
        assert planned.name == f"SevenNet-mf-0 {modal} (teacher, not DFT)"
        assert planned.models() == [with_arguments("7net-mf-0", {"modal": modal})]
    assert engines["PBE"].hash != engines["R2SCAN"].hash
    section = LabelParams(
        engine="forcefield", model="7net-mf-0", calculator_kwargs={"modal": "PBE"}
    )
    assert section.make_engine().hash == engines["PBE"].hash


class Intruder:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_is_weights_or_is_not_loaded(tmp_path, capsys, zipped):
    """What would be called on unpickling is named, by the check and by a job alike."""
    path = tmp_path / "model.pth"
    content = torch.load(
        checkpoints.checkpoint_file("SevenNet-0"), map_location="cpu", weights_only=False
    )
    content["config"]["note"] = Intruder()
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for load in (model_elements, load_calculator, load_batch_model):
        with pytest.raises(
            ValueError,
            match=r"is not a checkpoint of SevenNet: it names .*print, which is not called",
        ):
            load(path)
    assert "run" not in capsys.readouterr().out
    path.write_bytes(b"anything")
    with pytest.raises(ValueError, match="is not a checkpoint of SevenNet: "):
        model_elements(path)
