"""Replay cells: made once, the same after a kill, no part of the ledger; and what is forgotten."""

import uuid

import copper
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext
from entropy_flows.jobs import replay as replay_module
from entropy_flows.jobs import replay_cells as cells_module
from entropy_flows.jobs.forgetting import forgotten
from entropy_flows.jobs.replay import Replay
from entropy_flows.report.forgetting import forgetting_rows
from entropy_flows.report.iterations import iteration_rows
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, connect
from entropy_flows.store.documents import validate_document
from entropy_flows.store.seals import defects
from entropy_flows.train import TrainParams
from entropy_flows.train.align import moved

EMT_NAME = "ase.calculators.emt.EMT"
SMALL = {"crystals": 4, "close_pairs": 4, "temperatures": [300], "steps": 8, "other_phases": 4}
SEEDS = {"fcc": to_structure(bulk("Cu", cubic=True))}


class KilledError(BaseException):
    """In place of the death of the process."""


def recipe(weight=0.0, **changes):
    return TrainParams(replay={**SMALL, "weight": weight, **changes})


def replay(store, params, iteration=1):
    return Replay(store, IterationContext(store.name, iteration, seed=1), params)


@pytest.fixture
def store(database):
    opened = CampaignStore(database, "copper")
    opened.save_model(0, EMT_NAME)
    return opened


@pytest.fixture(scope="module")
def document(server, tmp_path_factory):
    """The document that making the cells leaves."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path_factory.mktemp("cache")))
        settings.cache_clear()
        opened = connect(server, f"test_{uuid.uuid4().hex[:12]}")
        store = CampaignStore(opened, "copper")
        store.save_model(0, EMT_NAME)
        replay(store, recipe()).make(SEEDS)
        (document,) = opened["replays"].find({})
        opened.client.drop_database(opened.name)
        opened.client.close()
    settings.cache_clear()
    return document


@pytest.fixture
def made(store, document):
    """Replay cells that were made before, as by an earlier job."""
    store.database["replays"].insert_one(document)
    return replay(store, recipe())


def labels_of(frames):
    return [
        (atoms.positions.tolist(), atoms.get_potential_energy(), atoms.get_forces().tolist())
        for atoms in frames
    ]


def all_cells(made):
    return labels_of([*made.frames(held_out=False), *made.frames(held_out=True)])


def test_the_cells_are_of_each_kind_and_carry_the_first_models_labels(made):
    train = made.frames(held_out=False)
    held_out = made.frames(held_out=True)

    kinds = {"crystals", "close pairs", "dynamics", "other phases"}
    assert {atoms.info["kind"] for atoms in train} == kinds
    assert {atoms.info["kind"] for atoms in held_out} == kinds
    assert len(train) == 3 * len(held_out) == 3 * 8  # five other crystals
    for atoms in (*train[::5], *held_out[::3]):
        alone = atoms.copy()
        alone.calc = EMT()
        assert alone.get_potential_energy() == pytest.approx(atoms.get_potential_energy())
        np.testing.assert_allclose(alone.get_forces(), atoms.get_forces(), atol=1e-8)
        np.testing.assert_allclose(alone.get_stress(), atoms.get_stress(), atol=1e-8)


def test_they_are_one_sealed_document_beside_the_ledger(store):
    replay(store, recipe()).make(SEEDS)
    (document,) = store.database["replays"].find({})
    validate_document("replays", document)
    assert defects("replays", document) == []
    assert store.database["structures"].count_documents({}) == 0
    assert store.database["labels"].count_documents({}) == 0


def test_they_are_made_once_for_any_weight_and_iteration(store, made, monkeypatch):
    first = all_cells(made)
    monkeypatch.setattr(replay_module, "load_batch_model", None)  # nothing is computed again
    again = replay(store, recipe(weight=0.5), iteration=3)
    again.make(SEEDS)
    assert all_cells(again) == first
    assert store.database["replays"].count_documents({}) == 1


def test_after_a_kill_they_are_the_same(store, made, database, monkeypatch):
    undisturbed = all_cells(made)
    database["replays"].delete_many({})
    killed = replay(store, recipe())
    saved = []

    def die_in_the_dynamics(checkpoint, ensemble):
        checkpoint.save(ensemble.state())
        saved.append(ensemble.step)
        if ensemble.step == 5:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(cells_module.ExploreCheckpoint, "step", die_in_the_dynamics)
        with pytest.raises(KilledError):
            killed.make(SEEDS)
        assert database["replays"].count_documents({}) == 0
        killed.make(SEEDS)  # goes on from the checkpoint
    assert saved == [1, 2, 3, 4, 5, 6, 7, 8]
    # ASE's EMT keeps its neighbours within a skin: the order of its sums is that of its past
    for one, other in zip(all_cells(killed), undisturbed, strict=True):
        for value, expected in zip(one, other, strict=True):
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)


def test_a_later_writer_changes_nothing(store, made):
    first = all_cells(made)
    store.save_replay(made.replay_hash, model="x", seed=0, params={}, cells=[], refused=[])
    assert all_cells(made) == first


def test_without_the_section_nothing_is_made(store):
    made = replay(store, TrainParams(replay=None))
    made.make(SEEDS)
    assert made.frames(held_out=True) == []
    assert store.database["replays"].count_documents({}) == 0


def test_training_cells_lie_on_the_zero_of_the_labels(store, document):
    store.database["replays"].insert_one(document)
    labels = []
    for seed in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        labels.append(moved(atoms, {"Cu": 2.5}))
    made = replay(store, recipe(weight=0.5))
    made.make(SEEDS)
    cells = made.training_cells(labels)
    for atoms, cell in zip(made.frames(held_out=False), cells, strict=True):
        shift = cell.get_potential_energy() - atoms.get_potential_energy()
        assert shift == pytest.approx(2.5 * len(atoms), abs=1e-9)
        np.testing.assert_array_equal(cell.get_forces(), atoms.get_forces())
    unmoved = replay(store, recipe(weight=0.5).model_copy(update={"align_energies": False}))
    assert labels_of(unmoved.training_cells(labels)) == labels_of(made.frames(held_out=False))
    assert replay(store, recipe(weight=0.0)).training_cells(labels) == []


def test_a_weight_without_a_cell_is_refused(store):
    nothing = {"crystals": 0, "close_pairs": 0, "temperatures": [], "other_phases": 0}
    made = replay(store, recipe(weight=0.5, **nothing))
    made.make(SEEDS)
    with pytest.raises(ValueError, match="replay has a weight, but no cell: none was asked for"):
        made.training_cells([])


def test_a_phase_that_the_model_does_not_bind_is_named(database):
    store = CampaignStore(database, "argon")
    store.save_model(0, "ase.calculators.lj.LennardJones")  # σ is 1 Å: copper's cells fly apart
    made = replay(store, recipe(temperatures=[]))
    made.make(SEEDS)
    (document,) = store.database["replays"].find({})
    assert any("fcc: no equation of state for Cu" in line for line in document["refused"])


class Moved(EMT):
    """EMT from another zero of energy."""

    def calculate(self, *args, **kwargs):
        """Add a constant for each atom."""
        super().calculate(*args, **kwargs)
        self.results["energy"] += 3.0 * len(self.atoms)


def test_the_first_model_has_forgotten_nothing_and_another_zero_is_no_loss(made):
    frames = made.frames(held_out=True)
    for calculator in (EMT(), Moved()):
        errors = forgotten(frames, calculator)
        assert errors["n"] == len(frames)
        assert errors["energy_mae"] == pytest.approx(0.0, abs=1e-6)
        assert errors["forces_mae"] == pytest.approx(0.0, abs=1e-6)
    lost = forgotten(frames, LennardJones(sigma=2.3, epsilon=0.2, rc=6.0))
    assert lost["forces_mae"] > 0.01
    assert sum(kind["n"] for kind in lost["kinds"].values()) == lost["n"]
    assert forgotten([], EMT()) == {"n": 0}


def test_a_campaign_measures_what_each_of_its_trainings_has_forgotten(
    database, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    copper.importable(monkeypatch)
    copper.base_model(tmp_path)
    section = {"replay": {**SMALL, "other_phases": 0}}
    store, _ = copper.submitted(
        copper.campaign_file(tmp_path, train=section, stop={"max_iterations": 2})
    )
    copper.work("copper")
    assert store.document()["message"] == "all 2 iterations are done"

    (document,) = store.database["replays"].find({})
    assert document["model"] == store.model(0)["reference"]
    first, second = store.iterations()
    before, after = (first["evaluate"]["forgotten"][when] for when in ("before", "after"))
    assert before["forces_mae"] == pytest.approx(0.0, abs=1e-6)
    assert after["forces_mae"] > 1e-4
    goes_on = after if first["evaluate"]["continues"]["is_new"] else before
    assert second["evaluate"]["forgotten"]["before"] == goes_on
    assert first["train"]["replayed"] == 0
    rows = {row[0]: row[1:] for row in iteration_rows(store.iterations())}
    assert rows["replayed cells × weight"] == ["none", "none"]
    assert rows["forgotten force, meV/Å"][0].startswith("0.0 → ")
    assert {row[2] for row in forgetting_rows([first])} == {"crystals", "close pairs", "dynamics"}
