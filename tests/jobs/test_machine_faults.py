"""A fault of the machine in a job is raised; done again, the job leaves the same ledger."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.committee import Committee
from entropy_flows.evaluate.errors import errors
from entropy_flows.evaluate.physics import PhysicsParams, run_check
from entropy_flows.explore import ExploreParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import ExploreMaker, IterationContext, RefineMaker, exploring
from entropy_flows.jobs import refine as refine_job
from entropy_flows.label import OutlierParams, odd_labels
from entropy_flows.potentials import OneByOne
from entropy_flows.refine import RefineParams
from entropy_flows.schemas import Campaign, SelectDoc
from entropy_flows.store import CampaignStore, Entry, job_store

GOM_CU = GOMParams(cutoff=4.0, natx=8, elements=("Cu",))
DATASET = DatasetParams(fingerprint=GOM_CU)
FAULTS = {
    "disk": OSError(28, "No space left on device"),
    "memory": MemoryError(),
    "package": ImportError("libtorch.so: cannot open shared object file"),
    "GPU": RuntimeError("CUDA error: uncorrectable ECC error encountered"),
}


class Struck(EMT):
    """EMT whose evaluation number `after` + 1 meets a fault; those that follow do well."""

    def __init__(self, after=10**9, fault=None):
        super().__init__()
        self.after, self.fault, self.calls = after, fault, 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.calls += 1
        if self.calls == self.after + 1:
            raise self.fault


def copper(seed, stdev=0.1):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(stdev, seed=seed)
    return atoms


@pytest.fixture
def campaign(database):
    """Makes campaigns that differ in their name alone, each with the same small data set."""

    def make(name):
        store = CampaignStore(database, name)
        config = {
            "name": name,
            "elements": ["Cu"],
            "base_model": "EMT",
            "label": {"engine": "forcefield"},
        }
        store.create(
            Campaign.model_validate(config | {"phases": [{"name": "fcc", "file": "fcc.cif"}]})
        )
        store.save_model(0, "EMT")
        ledger = store.ledger(DATASET)
        cells = [copper(seed) for seed in range(6)]
        entries = [
            Entry(f"001/explore/{n}", to_structure(c), ledger.fingerprint(c), 0.1)
            for n, c in enumerate(cells)
        ]
        ledger.append_accepted(1, "select", entries)
        return store

    return make


def run(job):
    with job_store() as outputs:
        return job.run(store=outputs).output


def ledger_of(store):
    """All that the ledger holds but names and times."""
    return [
        (entry["stage"], entry["gain"], entry["structure"]["sites"])
        for entry in store.ledger(DATASET).entries()
    ]


def context(name):
    return IterationContext(name, 1, model="EMT", seed=7, dataset=DATASET)


def refine(name, **params):
    near = [
        {
            "key": f"001/explore/{seed}",
            "origin": {"mode": "atom", "phase": "fcc"},
            "structure": to_structure(copper(seed, 0.09)),
        }
        for seed in (100, 101)
    ]
    facts = dict.fromkeys(("candidates", "accepted", "near_misses", "rejected", "spent"), 0)
    entropy = {"entropy_before": {}, "entropy_after": {}, "gains": []}
    selected = SelectDoc(iteration=1, **facts, **entropy, trajectories=near)
    maker = RefineMaker(params=RefineParams(max_steps=6, **params))
    return run(maker.make(context(name), selection=selected, theta_min=1e-3, budget=None))


@pytest.mark.parametrize("fault", FAULTS)
def test_refinement(campaign, monkeypatch, fault):
    def with_calculator(calculator):
        monkeypatch.setattr(refine_job, "load_batch_model", lambda *_, **__: OneByOne(calculator))

    calm, struck = campaign("calm"), campaign("struck")
    with_calculator(Struck())
    expected = refine("calm")
    assert expected.accepted == 2
    before = ledger_of(struck)
    with_calculator(Struck(9, FAULTS[fault]))
    with pytest.raises(type(FAULTS[fault])):
        refine("struck")
    assert ledger_of(struck) == before
    assert struck.failures() == []
    with_calculator(Struck())
    assert refine("struck").gains == expected.gains
    assert ledger_of(struck) == ledger_of(calm)


def test_a_model_that_refuses_a_cell_ends_that_search_and_is_told(campaign, monkeypatch):
    campaign("calm")
    refusing = Struck(3, ValueError("atoms too close"))
    monkeypatch.setattr(refine_job, "load_batch_model", lambda *_, **__: OneByOne(refusing))
    done = refine("calm")
    assert done.refused == {"calculator: ValueError: atoms too close": 1}
    assert done.tried == 2


def test_candidates_that_are_refined_together_enter_in_turn(campaign, monkeypatch):
    monkeypatch.setattr(refine_job, "load_batch_model", lambda *_, **__: OneByOne(EMT()))
    store = campaign("together")
    before = store.ledger(DATASET).statistics(1, "refine")["atom"].entropy()
    campaign("alone")
    alone = refine("alone")
    done = refine("together", together=2)
    assert done.tried == done.accepted == 2
    # the first goes where it went; the second does not know of it yet
    np.testing.assert_allclose(done.gains[0], alone.gains[0], rtol=1e-8)
    assert done.gains[1][0] > alone.gains[1][0]
    entries = list(store.ledger(DATASET).entries())[-2:]
    gains = [entry["gain"] for entry in entries]
    assert gains[1] < done.gains[1][1]
    assert before + sum(gains) == pytest.approx(done.entropy_after["atom"], abs=1e-9)


PARAMS = ExploreParams(
    temperatures=(300.0,),
    pressures=(0.0,),
    entropy_weights=(0.0, 1.0),
    steps=12,
    warm_up=2,
    ramp=4,
    snapshot_every=4, batch_size=4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "after"),
    [("disk", 3), ("GPU", 3), ("package", 9 + 2), ("disk", 9 + 15), ("GPU", 9 + 15)],
)
def test_exploration(campaign, monkeypatch, fault, after):
    """In the equation of state (9 cells), at the start, and in the middle of the dynamics."""

    def explore(name, calculator):
        monkeypatch.setattr(exploring, "load_batch_model", lambda *_, **__: OneByOne(calculator))
        seeds = {"fcc": to_structure(bulk("Cu", cubic=True))}
        maker = ExploreMaker(params=PARAMS, fingerprint=GOM_CU)
        return run(maker.make(context(name), batch=0, seeds=seeds))

    calm, struck = campaign("calm"), campaign("struck")
    expected = explore("calm", Struck())
    assert sum(run.snapshots for run in expected.runs) == 6
    with pytest.raises(type(FAULTS[fault])):
        explore("struck", Struck(after, FAULTS[fault]))
    assert struck.failures() == calm.failures() == []
    again = explore("struck", Struck())
    assert again.trajectories == expected.trajectories
    assert [run.reason for run in again.runs] == [None, None]


def labelled(count):
    frames = []
    for seed in range(count):
        atoms = copper(seed)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def committee(calculator):
    members = Committee(["ase.calculators.emt.EMT", "ase.calculators.emt.EMT"])
    members.members[1] = OneByOne(calculator)
    return members


OTHERS = {
    "outliers": lambda calculator: odd_labels(labelled(10), calculator, OutlierParams()),
    "errors": lambda calculator: errors(labelled(4), calculator).as_dict(),
    "calibration": lambda calculator: committee(calculator).calibration(labelled(4)),
    "physics": lambda calculator: (
        run_check("eos", copper(0), calculator, PhysicsParams(volumes=5)).result
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", OTHERS)
def test_what_else_calls_a_model(what, fault):
    with pytest.raises(type(FAULTS[fault])):
        OTHERS[what](Struck(2, FAULTS[fault]))
    np.testing.assert_equal(OTHERS[what](Struck()), OTHERS[what](Struck()))
