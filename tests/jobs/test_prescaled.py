"""A pressure is the same volume in each iteration."""

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

from entropy_flows.explore import Condition, Run, equation_of_state
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.start_cells import StartCells
from entropy_flows.potentials import load_batch_model
from entropy_flows.store import CampaignStore

BASE, NEXT = "ase.calculators.emt.EMT", "ase.calculators.morse.MorsePotential"


@pytest.fixture
def seeds():
    return {"fcc": AseAtomsAdaptor.get_structure(bulk("Cu", cubic=True))}


def volume(starts, pressure):
    return starts(Run(0, Condition("fcc", 300.0, 0.0, pressure), "atom", 1)).get_volume()


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


def test_the_next_models_own_would_be_others(seeds):
    """Or the test above could not fail."""
    with pytest.raises(ValueError, match="no equation of state"):
        StartCells(seeds, load_batch_model(NEXT)).equation_of("fcc")


def test_a_cell_with_a_vacuum_starts_as_it_is():
    """Its equation of state would stretch the slab: 3.84 → 3.94 Å for silicon at P = 0."""
    slab = bulk("Cu", cubic=True)
    slab.cell[2, 2] += 12
    starts = StartCells({"slab": to_structure(slab)}, load_batch_model(BASE))
    start = starts(Run(0, Condition("slab", 300, 2, 0.0), "atom", 1))
    assert np.array_equal(start.cell, slab.cell)
    assert np.allclose(start.positions, slab.positions)
    with pytest.raises(
        ValueError, match=r"'slab' is a slab, .*: no volume of its cell stands for a pressure"
    ):
        starts(Run(1, Condition("slab", 300, 2, 5.0), "atom", 1))
    assert starts.fitted() == {}
