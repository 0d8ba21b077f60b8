"""A campaign of copper that runs for real in seconds: EMT labels, a pair potential by regression.

Its jobs are FireWorks', run in the test's own process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from fireworks import FWorker
from fireworks.core.rocket_launcher import launch_rocket

from entropy_flows.geometry import to_structure
from entropy_flows.jobs.importing import Import
from entropy_flows.label import Label
from entropy_flows.label.existing import ImportedFrame
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.liveness import LivenessCriteria
from entropy_flows.launch.submit import submit
from entropy_flows.potentials import with_arguments
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams, fine_tune

PACKAGE = Path(__file__).parent / "plugins" / "third_party"
FAMILY = {"family": "third_party.pair:PairFamily"}
EXPLORE = {
    "temperatures": [600, 1200],
    "entropy_weights": [3],
    "pressures": [0],
    "steps": 16,
    "warm_up": 2,
    "ramp": 2,
    "snapshot_every": 2,
}
CONFIG = {
    "name": "copper",
    "elements": ["Cu"],
    "base_model": {"name": "cu.pair.json", **FAMILY},
    "phases": [
        {
            "name": "fcc",
            "spacegroup": 225,
            "lattice": {"a": 3.6},
            "sites": {"Cu": [[0, 0, 0]]},
        }
    ],
    "local_fingerprint": {"cutoff": 3.0, "natx": 12},
    "global_fingerprint": {"cutoff": 3.0, "natx": 12},
    "explore": EXPLORE,
    "anchors": {"fraction": 0.25, "pressures": [0]},
    "select": {"theta_min": 1e-9, "max_labels": 4},
    "refine": {"max_candidates": 1, "max_steps": 1},
    "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
    "train": {
        "trainer": "third_party.pair:PairTrainer",
        "fractions": [0.5, 0.25, 0.25],
        "replay": None,  # a campaign of seconds
    },
    "stop": {"max_iterations": 1},
}

DEAD_WORKER = LivenessCriteria(dead=frozenset({"here"}), patience=0.0)
"""The worker that `work` plays has died."""


def importable(patch) -> None:
    """Make the package of the pair potential importable."""
    patch.syspath_prepend(str(PACKAGE))


def base_model(folder: Path) -> None:
    """Write the base model, trained on a few cells."""
    from third_party.pair import write_pair_model

    cells = []
    for seed in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, (4, 3))
        source = atoms.copy()
        source.calc = EMT()
        results = {
            "energy": source.get_potential_energy(),
            "forces": source.get_forces(),
            "stress": source.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        cells.append(atoms)
    empty = with_arguments(write_pair_model(folder / "empty.pair.json", [29], 5.0), FAMILY)
    result = fine_tune(cells[:4], cells[4:], cells[4:], empty, TrainParams(), folder)
    Path(result.model).rename(folder / "cu.pair.json")


def campaign_file(folder: Path, name: str = "copper", **changes) -> Path:
    """Write a campaign file; a section that is a mapping is laid over this one's."""
    config = {**CONFIG, "name": name}
    for key, value in changes.items():
        is_mapping = isinstance(value, dict) and isinstance(config.get(key), dict)
        config[key] = {**config[key], **value} if is_mapping else value
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def submitted(path: Path):
    """Submit a campaign's file; its store and what the submission has done."""
    campaign = load_campaign(path)
    store = CampaignStore.open(campaign.name)
    return store, submit(store, campaign, path.parent)


def work(campaign: str, until=lambda: False) -> None:
    """Run a campaign's jobs in this process until none is ready, or it is enough."""
    pad = launchpad()
    worker = FWorker("here", query={"spec.campaign": campaign})
    modules = dict(sys.modules)
    while not until() and launch_rocket(pad, worker):
        pass
    sys.modules.update(modules)


def is_done(campaign: str, stage: str):
    """Return a function that tells whether a job of a stage has ended."""
    query = {"spec.campaign": campaign, "name": stage, "state": "COMPLETED"}
    return lambda: launchpad().fireworks.count_documents(query) > 0


def import_cells(store: CampaignStore, campaign: Campaign, number: int) -> None:
    """Import rattled cells with EMT's labels, as of the campaign's own engine."""
    frames = []
    for seed in range(number):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.15, seed=100 + seed)
        atoms.calc = EMT()
        energy = atoms.get_potential_energy()
        label = Label(
            len(atoms),
            True,
            energy=energy,
            free_energy=energy,
            forces=atoms.get_forces(),
            stress=atoms.get_stress(voigt=False),
        )
        source = {"file": "set.xyz", "sha256": "0" * 64, "index": seed}
        frame = ImportedFrame(
            f"set.xyz[{seed}]", source, to_structure(atoms), label, {"file": "0" * 64}
        )
        frames.append(frame)
    Import(store, campaign, as_engine=True).run(iter(frames))
