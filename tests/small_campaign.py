"""A campaign of nine entries as its jobs write it, in two seconds, without running them."""

import contextlib
import os
import uuid

import numpy as np
import pytest
from cells import rattled
from fireworks import FiretaskBase, Firework, FWAction, FWorker, Workflow, explicit_serialize
from launchpads import new_launchpad

from entropy_flows.entropy import CellMeans
from entropy_flows.evaluate.errors import Parity
from entropy_flows.evaluate.predictions import force_components, prediction_rows
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.engine import same_engine
from entropy_flows.label import make_static_maker
from entropy_flows.label.read import Label
from entropy_flows.label.reasons import Reason
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.schemas import Campaign
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, PhysicsChecks, job_store, verify_context
from entropy_flows.store.holds import HoldKind
from entropy_flows.store.target import TargetCells

CONFIG = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
    "global_fingerprint": {"cutoff": 3.0, "natx": 4},
}
ROLES = ("before", "after")
JOBS = [str(uuid.UUID(int=number)) for number in range(2)]


def label(seed):
    rng = np.random.default_rng(seed)
    stress = rng.normal(size=(3, 3))
    numbers = {
        "energy": -10.0 - seed,
        "free_energy": -10.5 - seed,
        "forces": rng.normal(size=(2, 3)),
    }
    return Label(
        n_atoms=2, converged=True, stress=stress + stress.T, pressure=-np.trace(stress), **numbers
    ).as_dict()


@explicit_serialize
class Nothing(FiretaskBase):
    def run_task(self, fw_spec):
        return FWAction()


@contextlib.contextmanager
def small_campaign(server, folder, database):
    """One whole iteration and the selection of the next; its store and its launchpad."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("ENTROPY_FLOWS_URI", server)
        patched.setenv("ENTROPY_FLOWS_DATABASE", database)
        patched.setenv("ENTROPY_FLOWS_CACHE", str(folder / "cache"))
        patched.setattr(verify_context, "SETTLE_SECONDS", 0.0)
        settings.cache_clear()
        pad = new_launchpad()
        yield built(folder / "model.nequip.zip"), pad
        settings.cache_clear()


def built(model):
    store = CampaignStore.open("test")
    store.create(Campaign.model_validate(CONFIG))
    model.write_bytes(os.urandom(300_000))
    base = store.save_model(0, model)
    append(store, 1, "select", 4)
    append(store, 1, "refine", 1)
    append(store, 1, "anchor", 1)
    entries = list(store.ledger(store.campaign().dataset).entries())
    for seed, entry in enumerate(entries[:-1]):
        store.add_label(entry, "engine", label(seed))
    store.add_label(entries[-1], "engine", Label.failed(2, next(iter(Reason)), "BRMIX").as_dict())
    store.record(1, select={"accepted": 4}, refine={"accepted": 1})
    store.record(1, label={"requested": 6, "labelled": 5, "failed": 1})
    store.set_splits(
        {entry["key"]: ("train", "val", "test")[entry["position"] % 3] for entry in entries}
    )
    model.write_bytes(os.urandom(300_000))
    store.save_model(1, model, parent=base, trained_up_to=5)
    append(store, 2, "select", 3)
    store.record(2, select={"accepted": 3})
    run_jobs(launchpad())
    return store


def give_target(store):
    """A target of iteration 2, and what the ledger leaves unknown of it."""
    book = store.ledger(store.campaign().dataset)
    cells = [rattled("Si", repeat=1, seed=900 + n) for n in range(6)]
    target = TargetCells(cells, CellMeans.of(book.fingerprint(cells)), np.full(6, 1 / 6))
    settings = {"landmarks": 4, "length": 0.5, "by_size": True, "noise": 0.3}
    book.save_target(2, target, settings, kind="plain", mix=0.0)
    book.checkpoint_statistics(2)


def give_evaluation(store):
    """What three models predict for iteration 1's held-out cells, and the errors that follow."""
    test = store.frames(split="test")
    rng = np.random.default_rng(5)
    roles = {role: [_predicted(atoms, rng) for atoms in test] for role in ("first", *ROLES)}
    base, trained = (store.model(iteration)["reference"] for iteration in (0, 1))
    store.save_predictions(
        1,
        1,
        models={"first": base, "before": base, "after": trained},
        cells=prediction_rows(test, roles),
        forces=force_components(roles),
    )
    errors = {role: Parity.joined(roles[role]).errors.as_dict() for role in ROLES}
    store.record(1, evaluate={"iteration": 1, **errors})


def _predicted(atoms, rng):
    stress = atoms.get_stress()
    energy = atoms.get_potential_energy() / len(atoms)
    forces = atoms.get_forces().ravel()
    return Parity(
        energy=np.array([[energy], [energy + rng.normal()]]),
        forces=np.array([forces, forces + rng.normal(size=forces.size)]),
        stress=np.array([stress, stress + rng.normal(size=6)]),
    )


def append(store, iteration, stage, count):
    book = store.ledger(store.campaign().dataset)
    cells = [
        rattled("Si", repeat=1, seed=100 * iteration + 10 * len(stage) + n) for n in range(count)
    ]
    prints = book.fingerprint(cells)
    keys = [f"{iteration:03d}/{stage}/{number:05d}" for number in range(count)]
    statistics = book.statistics(iteration, stage)["atom"]
    made = []
    for number, (key, cell, q) in enumerate(zip(keys, cells, prints, strict=True)):
        gain = None if stage == "anchor" else statistics.gain(q)
        statistics.add(q)
        made.append(
            Entry(
                key,
                to_structure(cell),
                q,
                gain,
                {"mode": "atom", "temperature": 300.0, "step": number},
            )
        )
    book.append_accepted(iteration, stage, made)


def job(uuid, name):
    return Firework([Nothing()], {"campaign": "test", "uuid": uuid}, name=name)


def run_jobs(pad):
    """Two jobs, one after the other, and their outputs; the first one's has arrays."""
    first, second = (job(uuid, name) for uuid, name in zip(JOBS, "ab", strict=True))
    second.parents = [first]
    pad.add_wf(Workflow([first, second], {first: [second]}, name="jobs"))
    for _ in JOBS:
        _, launch = pad.checkout_fw(FWorker(), "launcher")
        pad.complete_launch(launch, FWAction())
    store_output(JOBS[0], {"trajectories": [{"positions": [1.0, 2.0]}]})
    store_output(JOBS[1], {"labelled": 5})


def store_output(job, output):
    row = {
        "uuid": job,
        "index": 1,
        "name": "job",
        "metadata": {"campaign": "test"},
        "output": output,
    }
    with job_store() as jobs:
        jobs.update(row, save={"data": ["trajectories"]})


def furnish(store, pad):
    """A document of each collection that the campaign's nine entries have none of."""
    folder = settings().cache
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "member.nequip.zip"
    file.write_bytes(os.urandom(1000))
    store.save_member(1, 2, file, parent=store.model(0)["reference"], training={"epochs": 3})
    store.save_replay(
        "hash",
        model="SevenNet-0",
        seed=42,
        params={"steps": 8},
        cells=[{"energy": 1.0}],
        refused=[],
    )
    base = store.model(0)["reference"]
    fit = {"volume": 20.1, "bulk_modulus": 98.0, "reason": None}
    store.save_equation(base, "cell", phase="diamond", **fit)
    evaluation = {"continues": {"model": base, "iteration": 0, "is_new": False}}
    fields = {"parent": base, "replaced": base, "exclusions": 0, "evaluate": evaluation}
    other_file = folder / "version.nequip.zip"
    other_file.write_bytes(os.urandom(1000))
    store.save_version(1, 2, other_file, **fields)
    place = {"method": "entropy", "size": 4, "seed": 1}
    store_output(str(uuid.UUID(int=2)), {"iteration": 1, "model": store.member(1, 2)["reference"]})
    version = store.version(1, 2)["reference"]
    store_output(str(uuid.UUID(int=4)), {"iteration": 1, "model": version})
    store_output(
        str(uuid.UUID(int=3)), {"iteration": 1, "model": store.model(1)["reference"], **place}
    )
    store.save_point(
        {
            **place,
            "model": store.model(1)["reference"],
            "errors": {"test": {"energy": 0.1}},
            "keys": ["a"],
        }
    )
    PhysicsChecks(store.database, store.name).save(
        "sha256:0", "eos", "diamond", "settings", result={"v": 1.0}, seconds=2.0
    )
    store.add_failure(2, "refine", "refine", "job", "ValueError: why")
    store.plan(2, "batch_size", 3)
    give_target(store)
    give_evaluation(store)
    entries = list(store.ledger(store.campaign().dataset).entries(iteration=2))
    store.await_approval(entries, "job")
    store.reject(["002/select/00001"], "melted")
    store.exclude(["001/select/00002"], "two phases")
    store.training_exclusions(2)
    store.set_hold(HoldKind.PAUSE)
    store.set_state("running", "so far")
    same_engine(store, make_static_maker(store.campaign().label))
