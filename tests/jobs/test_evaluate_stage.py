"""The evaluation decides which model the campaign goes on from, and every reader of it agrees."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import EvaluateMaker, IterationContext
from entropy_flows.jobs import evaluate as evaluate_module
from entropy_flows.jobs.physics import checked_models
from entropy_flows.report.cell_errors import cell_errors, stored_parities
from entropy_flows.schemas import Campaign, TrainDoc
from entropy_flows.store import CampaignStore, Entry, job_store
from entropy_flows.store.connection import OUTPUTS
from entropy_flows.store.seals import defects
from entropy_flows.store.verify_context import VerifyContext
from entropy_flows.store.verify_predictions import predictions
from entropy_flows.train import TrainParams

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=8, elements=("Cu",)))
GOOD, BAD = "ase.calculators.emt.EMT", "ase.calculators.lj.LennardJones"
ZERO = 2.5
"""eV an atom by which the labels' zero differs from EMT's."""


@pytest.fixture
def store(database):
    """Copper labelled by EMT, from another zero of energy; EMT is registered as the base model."""
    opened = CampaignStore(database, "copper")
    config = {
        "name": "copper",
        "elements": ["Cu"],
        "base_model": GOOD,
        "label": {"engine": "forcefield"},
    }
    config["label"]["model"] = GOOD
    opened.create(
        Campaign.model_validate(config | {"phases": [{"name": "fcc", "file": "fcc.cif"}]})
    )
    opened.save_model(0, GOOD)
    ledger = opened.ledger(DATASET)
    cells = [bulk("Cu", cubic=True, a=3.5 + 0.02 * n) for n in range(12)]
    for seed, atoms in enumerate(cells):
        atoms.rattle(0.1, seed=seed)
    ledger.append_accepted(
        1,
        "select",
        [Entry(f"{n}", to_structure(c), ledger.fingerprint(c), 0.1) for n, c in enumerate(cells)],
    )
    ids = [entry["_id"] for entry in ledger.entries()]
    for entry, atoms in zip(opened.ledger_entries(ids), cells, strict=True):
        atoms.calc = EMT()
        energy = atoms.get_potential_energy() + ZERO * len(atoms)
        forces = atoms.get_forces().tolist()
        label = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "converged": True,
            "reason": None,
        }
        opened.add_label(entry, "hash", label)
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    opened.set_splits({str(n): part for n, part in enumerate(parts)})
    return opened


def evaluate(store, iteration, before, after, continue_from="better"):
    store.save_model(iteration, after, parent=before)
    facts = {"trained_on": 6, "left_out": 0, "epochs": 1, "wall_seconds": 1.0}
    trained = TrainDoc(iteration=iteration, model=after, parent=before, **facts)
    recipe = TrainParams(align_energies=True, continue_from=continue_from)
    context = IterationContext("copper", iteration, engine_hash="hash")
    with job_store() as outputs:
        made = EvaluateMaker().make(context, training=trained, parent=before, recipe=recipe)
        return made.run(store=outputs).output


def test_a_worse_model_is_left(store):
    done = evaluate(store, 1, GOOD, BAD)
    assert done.validation_before["energy_mae"] < 1e-6  # another zero is no error
    assert done.before["energy_mae"] == pytest.approx(ZERO)
    assert (done.continues.model, done.continues.iteration, done.continues.worse) == (GOOD, 0, True)
    assert done.validation_in_use == done.validation_before
    (document,) = store.iterations()
    assert document["evaluate"]["continues"] == done.continues.model_dump()
    assert store.model_in_use()["iteration"] == 0
    assert [each.role for each in checked_models(store, store.campaign())] == ["before", "engine"]


def test_unless_told_otherwise(store):
    done = evaluate(store, 1, GOOD, BAD, continue_from="latest")
    assert (done.continues.model, done.continues.iteration, done.continues.worse) == (BAD, 1, True)
    assert store.model_in_use()["iteration"] == 1
    assert done.validation_in_use == done.validation


def test_a_better_model_is_taken(store):
    store.save_model(-1, BAD, role="student")
    done = evaluate(store, 1, BAD, GOOD)
    assert (done.continues.model, done.continues.is_new, done.continues.worse) == (
        GOOD,
        True,
        False,
    )
    assert [(each.role, each.title) for each in checked_models(store, store.campaign())][:2] == [
        ("before", "before"),
        ("after", "after 1"),
    ]


def test_without_validation_cells_the_new_one_is_taken(store):
    store.database["labels"].update_many({"split": "val"}, {"$set": {"split": "train"}})
    done = evaluate(store, 1, GOOD, BAD)
    assert (done.continues.model, done.continues.worse) == (BAD, False)
    assert done.continues.reason == "no validation cell to compare the two models on"


def test_each_held_out_cell_keeps_its_errors_for_reports_without_a_model(store):
    done = evaluate(store, 1, GOOD, BAD)
    rows = [row for row in cell_errors(store) if row.before is not None]
    assert [row.key for row in rows] == ["9", "10", "11"]
    assert [row.first for row in rows] == [row.before for row in rows]
    for row in rows:
        assert row.before.energy_error == pytest.approx(-ZERO)
        assert row.before.forces_mae < 1e-9
        assert row.before.stress_mae is None
    assert np.mean([abs(row.after.energy_error) for row in rows]) == done.after["energy_mae"]
    assert np.mean([row.after.forces_mae for row in rows]) == pytest.approx(
        done.after["forces_mae"]
    )
    _, in_use = stored_parities(store)
    # the worse model was left, so the one in use is that before
    assert in_use.errors.as_dict() == pytest.approx(done.before)


def test_cells_that_the_model_knows_keep_its_errors_and_no_others(store, monkeypatch):
    done = evaluate(store, 1, BAD, GOOD)
    known = cell_errors(store)[3:]
    assert [row.key for row in known] == [str(n) for n in range(9)]
    assert all(row.first is None and row.before is None for row in known)
    assert [row.after.energy_error for row in known] == pytest.approx([-ZERO] * 9)
    of_val = [row.after.energy_error for row in known[6:]]
    assert np.mean(np.abs(of_val)) == pytest.approx(done.validation["energy_mae"])
    monkeypatch.setattr(evaluate_module, "KNOWN_CELLS", 2)
    evaluate(store, 2, GOOD, GOOD)
    assert [row.key for row in cell_errors(store)[3:]] == ["0", "3", "6", "7", "8"]


def test_the_first_model_is_asked_about_all_cells_of_a_later_iteration(store):
    evaluate(store, 1, GOOD, BAD, continue_from="latest")
    done = evaluate(store, 2, BAD, BAD, continue_from="latest")
    first, in_use = stored_parities(store)
    assert first.errors.energy_mae == pytest.approx(ZERO)
    assert in_use.errors.as_dict() == pytest.approx(done.after)
    assert cell_errors(store, 1)[0].before == cell_errors(store, 2)[0].first


def test_an_evaluation_that_was_killed_writes_the_same(store):
    evaluate(store, 1, GOOD, BAD)
    before = store.predictions(1)
    store.database["iterations"].update_one({"iteration": 1}, {"$unset": {"evaluate": 1}})
    store.database[OUTPUTS].delete_many({})
    evaluate(store, 1, GOOD, BAD)
    after = store.predictions(1)
    assert store.database["predictions"].count_documents({}) == 1
    assert defects("predictions", after) == []
    assert after["created"] > before["created"]
    same = ("models", "cells", "known_cells", "forces")
    assert [after[name] for name in same] == [before[name] for name in same]


def test_verify_sees_predictions_that_are_not_those_of_the_evaluation(store):
    evaluate(store, 1, GOOD, BAD)
    subject = VerifyContext(store)
    assert predictions(subject).problems == []
    cells = store.predictions(1)["cells"]
    moved = [{**cells[0], "after": {**cells[0]["after"], "energy": 0.0}}, *cells[1:]]
    store.database["predictions"].update_one({}, {"$set": {"cells": moved}})
    (problem,) = predictions(subject).problems
    assert "energy_mae after the training" in problem
    strangers = [{**cell, "key": "0", "position": 0} for cell in cells]
    store.database["predictions"].update_one({}, {"$set": {"cells": strangers}})
    assert "no test cell" in " ".join(predictions(subject).problems)
    known = [
        {**cell, "key": "9", "position": 9} for cell in store.predictions(1)["known_cells"][:1]
    ]
    store.database["predictions"].update_one({}, {"$set": {"known_cells": known}})
    assert "no training or validation cell" in " ".join(predictions(subject).problems)
    store.database["predictions"].delete_many({})
    assert "cannot be shown" in " ".join(predictions(subject).wasted)
