"""No cell is calculated twice with the same settings, whatever campaign it is for."""

from dataclasses import dataclass

import numpy as np
import pytest
from cells import rattled
from jobflow import Maker, job
from pymatgen.core import Structure

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import cell_hash, to_atoms, to_structure
from entropy_flows.jobs import IterationContext, LabelMaker
from entropy_flows.label import engine_of
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, Entry, job_store

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))
CONFIG = {
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}
calculated = []
broken = []


@dataclass
class Counting(Maker):
    """A static Maker that counts its calculations, and fails while `broken` has something in it."""

    name: str = "static"
    smearing: float = 0.05

    @job
    def make(self, structure, prev_dir=None):
        calculated.append(structure)
        if broken:
            raise RuntimeError("the engine crashed")
        forces = np.arange(3.0 * len(structure)).reshape(-1, 3)
        return {"output": {"energy": -3.0, "forces": forces.tolist(), "structure": structure}}


@pytest.fixture(autouse=True)
def count():
    calculated.clear()
    broken.clear()


def campaign(database, name, seeds):
    store = CampaignStore(database, name)
    store.create(Campaign.model_validate(CONFIG | {"name": name}))
    cells = [to_structure(rattled("Si", 1, seed=seed)) for seed in seeds]
    origin = {"phase": "diamond", "temperature": 300.0, "k": 2.0, "pressure": 5.0, "run": 3}
    entries = [
        Entry(f"001/explore/{n:05d}/00010", cell, np.ones((2, 4)), 0.5, origin)
        for n, cell in enumerate(cells)
    ]
    store.ledger(DATASET).append_accepted(1, "select", entries)
    store.record(1, **{"label.requested": len(cells)})
    return store


def run(store, **options):
    ids = [entry["_id"] for entry in store.ledger(DATASET).entries()]
    maker = Counting(**options)
    context = IterationContext(store.name, 1, engine_hash=engine_of(maker).hash)
    made = LabelMaker(static_maker=maker).make(context, batch=0, structures=ids)
    with job_store() as outputs:
        return made.run(store=outputs).output


def test_the_same_cells_in_another_campaign_cost_nothing(database):
    first, second = campaign(database, "one", range(4)), campaign(database, "two", range(2, 6))
    assert run(first).labelled == len(calculated) == 4
    assert run(second).labelled == 4
    assert len(calculated) == 6
    labels = {label["key"]: label for label in second.labels()}
    copied = [label for label in labels.values() if "copied_from" in label]
    assert [label["copied_from"]["campaign"] for label in copied] == ["one", "one"]
    assert [label["copied_from"]["key"] for label in copied] == [
        "001/explore/00002/00010",
        "001/explore/00003/00010",
    ]
    assert [label["wall_seconds"] for label in copied] == [0.0, 0.0]
    original = next(
        label for label in first.labels() if label["key"] == copied[0]["copied_from"]["key"]
    )
    for name in ("energy", "free_energy", "forces", "stress", "provenance", "n_atoms"):
        assert copied[0][name] == original[name]
    assert len(second.frames()) == 4


def test_other_settings_and_failures_are_calculated(database):
    first, second, third = (campaign(database, name, [1]) for name in ("one", "two", "three"))
    broken.append("disk")
    assert run(first).failed == 1
    broken.clear()
    assert run(second).labelled == 1
    assert run(third, smearing=0.1).labelled == 1
    assert len(calculated) == 3


def test_hash_is_of_the_cell_as_it_stands():
    cell = to_structure(rattled("Si", 1, seed=3))
    wrapped = Structure(
        cell.lattice, cell.species, cell.frac_coords + np.array([[1, 0, -2], [0, 3, 0]])
    )
    noise = Structure(cell.lattice, cell.species, cell.frac_coords + 1e-12)
    at_zero = [
        Structure(cell.lattice, cell.species, [[x, 0, 0], [0.5, 0.5, 0.5]])
        for x in (0.0, -0.0, 1.0, -1e-12)
    ]
    assert cell_hash(cell) == cell_hash(wrapped) == cell_hash(noise)
    assert len({cell_hash(each) for each in at_zero}) == 1
    swapped = Structure(cell.lattice, cell.species, cell.frac_coords[::-1])
    moved = Structure(
        cell.lattice, cell.species, cell.frac_coords + np.array([[1e-6, 0, 0], [0, 0, 0]])
    )
    other = Structure(cell.lattice, ["Ge", "Si"], cell.frac_coords)
    turned = to_atoms(cell)
    turned.rotate(90, "z", rotate_cell=True)
    larger = Structure(cell.lattice.matrix * (1 + 1e-5), cell.species, cell.frac_coords)
    assert (
        len(
            {
                cell_hash(each)
                for each in (cell, swapped, moved, other, to_structure(turned), larger)
            }
        )
        == 6
    )
    assert cell_hash(Structure.from_dict(cell.as_dict())) == cell_hash(cell)


def test_flagged_labels_are_left_out_unless_asked_for(database):
    store = campaign(database, "one", range(3))
    run(store)
    keys = [label["key"] for label in store.labels()]
    store.flag_labels({keys[1]: "force 300 eV/Å, limit 100"})
    assert [atoms.info["key"] for atoms in store.frames()] == [keys[0], keys[2]]
    assert len(store.frames(flagged=True)) == 3
    assert [label["odd"] for label in store.labels(flagged=True)] == ["force 300 eV/Å, limit 100"]


def test_labels_know_their_condition(database):
    store = campaign(database, "one", [0])
    run(store)
    (label,) = store.labels()
    assert label["condition"] == {
        "phase": "diamond",
        "temperature": 300.0,
        "k": 2.0,
        "pressure": 5.0,
    }
