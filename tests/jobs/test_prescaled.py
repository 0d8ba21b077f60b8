"""A pressure is the same volume in each iteration."""

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.explore import Condition, Run, UnboundPhaseError, equation_of_state
from entropy_flows.geometry import cell_hash, to_structure
from entropy_flows.jobs.start_cells import StartCells
from entropy_flows.potentials import load_batch_model
from entropy_flows.store import CampaignStore
from entropy_flows.store.documents import validate_document
from entropy_flows.store.seals import defects

BASE, NEXT = "ase.calculators.emt.EMT", "ase.calculators.morse.MorsePotential"


@pytest.fixture
def seeds():
    return {"fcc": AseAtomsAdaptor.get_structure(bulk("Cu", cubic=True))}


def volume(starts, pressure):
    return starts(Run(0, Condition("fcc", 300.0, 0.0, pressure), "atom", 1)).get_volume()


def on_model(database, seeds, model):
    store = CampaignStore(database, "mine")
    return StartCells(store, seeds, model, lambda: load_batch_model(model))


def test_the_base_models_equations_of_state_hold_in_each_iteration(database, seeds):
    store = CampaignStore(database, "mine")
    store.save_model(0, BASE, role="base")
    store.save_model(1, NEXT, parent=BASE)
    models = {name: load_batch_model(name) for name in (BASE, NEXT)}
    expected = equation_of_state(bulk("Cu", cubic=True), models[BASE])
    for model in (BASE, NEXT):
        starts = StartCells.of_campaign(store, seeds, model, models[model])
        assert starts.equation_of("fcc") == expected
        assert volume(starts, 10.0) == pytest.approx(
            4 * expected.volume * (1 - 10.0 / expected.bulk_modulus)
        )


def test_the_next_models_own_would_be_others(database, seeds):
    """Or the test above could not fail."""
    with pytest.raises(ValueError, match="no equation of state"):
        on_model(database, seeds, NEXT).equation_of("fcc")


def no_model():
    raise AssertionError("the model was loaded, though the equation of state is stored")


def test_an_equation_of_state_is_fitted_once_a_campaign(database, seeds):
    first = on_model(database, seeds, BASE)
    fitted = first.equation_of("fcc")
    store = CampaignStore(database, "mine")
    later = StartCells(store, seeds, BASE, no_model)  # another job, perhaps on another machine
    assert later.equation_of("fcc") == fitted
    assert later.fitted() == first.fitted()
    (document,) = database["equations"].find({})
    validate_document("equations", document)
    assert defects("equations", document) == []
    assert document["volume"] == fitted.volume
    seeds["fcc"] = seeds["fcc"].copy().apply_strain(0.01)  # another cell under the same name
    with pytest.raises(AssertionError, match="was loaded"):
        StartCells(store, seeds, BASE, no_model).equation_of("fcc")


def test_that_a_model_does_not_bind_a_phase_is_found_out_once(database, seeds):
    reason = "no equation of state"
    with pytest.raises(UnboundPhaseError, match=reason) as first:
        on_model(database, seeds, NEXT).equation_of("fcc")
    store = CampaignStore(database, "mine")
    with pytest.raises(UnboundPhaseError) as later:
        StartCells(store, seeds, NEXT, no_model).equation_of("fcc")
    assert str(later.value) == str(first.value)


def test_of_two_jobs_that_fit_at_once_the_first_one_writes(database, seeds):
    starts = on_model(database, seeds, BASE)
    name = cell_hash(seeds["fcc"])
    load = starts.load_model

    def meanwhile():
        fit = {"volume": 12.5, "bulk_modulus": 100.0, "reason": None}
        starts.store.save_equation(BASE, name, phase="fcc", **fit)
        return load()

    starts.load_model = meanwhile
    assert starts.equation_of("fcc").volume == 12.5


def test_a_cell_with_a_vacuum_starts_as_it_is(database):
    """Its equation of state would stretch the slab: 3.84 → 3.94 Å for silicon at P = 0."""
    slab = bulk("Cu", cubic=True)
    slab.cell[2, 2] += 12
    starts = on_model(database, {"slab": to_structure(slab)}, BASE)
    start = starts(Run(0, Condition("slab", 300, 2, 0.0), "atom", 1))
    assert np.array_equal(start.cell, slab.cell)
    assert np.allclose(start.positions, slab.positions)
    with pytest.raises(
        ValueError, match=r"'slab' is a slab, .*: no volume of its cell stands for a pressure"
    ):
        starts(Run(1, Condition("slab", 300, 2, 5.0), "atom", 1))
    assert starts.fitted() == {}
