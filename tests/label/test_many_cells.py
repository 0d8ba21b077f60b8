"""Engines whose Maker takes many cells in one call."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from jobflow import Maker, job

from entropy_flows.geometry import to_atoms, to_structure
from entropy_flows.label import engine_of
from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.engines.torchsim import TorchSimEngine
from entropy_flows.label.params import LabelParams
from entropy_flows.label.reasons import InconsistentOutputError, Reason
from entropy_flows.label.run import label_batch, labels_per_job

CALLS: list[int] = []


@dataclass
class ListMaker(Maker):
    """Computes cells by EMT, as torch-sim's Maker does: one document of lists."""

    name: str = "many"
    model_type: str = "EMT"
    model_path: str = ""
    model_kwargs: dict = field(default_factory=dict)
    autobatcher_dict: bool = False

    @job
    def make(self, structure):
        structures = structure if isinstance(structure, list) else [structure]
        CALLS.append(len(structures))
        cells = [to_atoms(one) for one in structures]
        if any("He" in cell.symbols for cell in cells):
            raise ValueError("no parameters for He")
        for cell in cells:
            cell.calc = EMT()
        output = {
            "energies": [cell.get_potential_energy() for cell in cells],
            "all_forces": [cell.get_forces().tolist() for cell in cells],
            "stress": [cell.get_stress(voigt=False).tolist() for cell in cells],
        }
        return {"structures": structures, "calcs_reversed": [{"output": output}]}


@pytest.fixture
def cells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CALLS.clear()
    rng = np.random.default_rng(0)
    cells = []
    for number in range(5):
        atoms = bulk("Cu", a=3.5 + 0.05 * number, cubic=True)
        atoms.positions += rng.normal(scale=0.05, size=(4, 3))
        cells.append(atoms)
    return cells


def test_one_call_has_the_labels_of_all_cells(cells):
    maker = ListMaker()
    engine = engine_of(maker)
    assert isinstance(engine, TorchSimEngine)
    assert engine.takes_many
    assert not MakerEngine(maker).takes_many
    documents = {}
    labels = list(
        label_batch(maker, list(map(to_structure, cells)), on_document=documents.__setitem__)
    )
    assert CALLS == [5]
    assert sorted(documents) == list(range(5))
    for label, atoms in zip(labels, cells, strict=True):
        atoms.calc = EMT()
        assert label.energy == pytest.approx(atoms.get_potential_energy())
        np.testing.assert_allclose(label.forces, atoms.get_forces(), atol=1e-10)
        np.testing.assert_allclose(label.stress, atoms.get_stress(voigt=False), atol=1e-10)
        pressure = -np.trace(atoms.get_stress(voigt=False)) / 3 / GPa
        assert label.pressure == pytest.approx(pressure)
        assert label.provenance["engine"] == "EMT (teacher, not DFT)"


def test_a_cell_that_spoils_the_call_has_a_reason_and_the_others_have_labels(cells):
    cells[1].symbols[0] = "He"
    cells[3].positions[1] = cells[3].positions[0] + [0.1, 0, 0]
    labels = list(label_batch(ListMaker(), list(map(to_structure, cells))))
    assert [label.converged for label in labels] == [True, False, True, False, True]
    assert "no parameters for He" in labels[1].evidence
    assert labels[3].reason is Reason.BAD_GEOMETRY
    # the one of bad geometry is computed by nobody
    assert CALLS == [4, 1, 1, 1, 1]


def test_a_document_of_other_cells_is_refused_by_name(cells):
    engine = engine_of(ListMaker())
    document = {
        "structures": [to_structure(cell) for cell in cells[:2]],
        "calcs_reversed": [{"output": {"energies": [1.0], "all_forces": [[], []]}}],
    }
    with pytest.raises(InconsistentOutputError, match="has 1 of energy, expected that of 2 cells"):
        engine.documents(document, 2)
    with pytest.raises(InconsistentOutputError, match="has 2 of structure, expected that of 3"):
        engine.documents(document, 3)


def test_one_cell_is_one_call_and_a_job_has_many():
    params = LabelParams.model_validate({"maker": "test_many_cells:ListMaker"})
    assert labels_per_job(params) == 64
    assert engine_of(ListMaker()).hash != engine_of(ListMaker(model_path="other")).hash
    same = ListMaker(name="x", model_kwargs={"device": "cuda"})
    assert engine_of(ListMaker()).hash == engine_of(same).hash
