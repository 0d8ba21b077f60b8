"""Frames of the user's own files as candidates: drawn once, judged, and not taken twice."""

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write
from cells import rattled
from pymatgen.core import Structure

from entropy_flows.cli.check_sources import check_sources
from entropy_flows.entropy import DatasetParams
from entropy_flows.explore import ExploreParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.flows.pools import unbiased
from entropy_flows.geometry import to_atoms
from entropy_flows.jobs import ExploreMaker, IterationContext, SelectMaker
from entropy_flows.jobs.explore import snapshots
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.select import make_selector
from entropy_flows.store import CampaignStore, job_store
from entropy_flows.store.verify_context import VerifyContext
from entropy_flows.store.verify_deep import gains

CONFIG = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
    "global_fingerprint": {"cutoff": 4.0, "natx": 6},
}
DATASET = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=6, elements=("Si",)))
MODEL = "sha256:a"


def context(iteration):
    return IterationContext("test", iteration, model=MODEL, seed=7, dataset=DATASET)


@pytest.fixture
def store(database):
    store = CampaignStore(database, "test")
    store.create(Campaign.model_validate(CONFIG))
    store.save_model(0, MODEL)
    return store


@pytest.fixture
def source(tmp_path):
    """Two files: 30 cells of which two will not do, and 10 others."""
    cells = [rattled("Si", 1, stdev=0.01 * (1 + seed), seed=seed) for seed in range(28)]
    cells[3:3] = [bulk("SiC", "zincblende", a=4.36), Atoms("Si", positions=[[0, 0, 0]])]
    write(tmp_path / "a.extxyz", cells)
    write(tmp_path / "b.traj", [rattled("Si", 1, stdev=0.2, seed=seed) for seed in range(10)])
    return ExploreParams(source=(str(tmp_path / "*.[et]*"),), dynamics=False)


def explored(params, iteration):
    job = ExploreMaker(params=params).make(context(iteration), batch=0, seeds={})
    with job_store() as outputs:
        return job.run(store=outputs).output


def test_every_usable_frame_is_a_candidate_with_its_origin(store, source, tmp_path):
    doc = explored(source, 1)
    rows = list(snapshots(doc))
    assert len(rows) == 38
    frames = {(run.source, step) for run, step, _, _ in rows}
    assert len(frames) == 38
    assert {run.mode for run, *_ in rows} == {"atom", "config"}
    assert len({(run.index, step) for run, step, _, _ in rows}) == 38
    (reason,) = [run.reason for run in doc.runs if run.reason]
    assert reason == "2 frames left out; frame 3: has C, which is no element of the campaign"
    for run, step, atoms, _ in rows:
        if run.phase == "b.traj":
            expected = rattled("Si", 1, stdev=0.2, seed=step)
            np.testing.assert_allclose(atoms.positions, expected.positions, atol=1e-12)
    assert explored(source, 1).model_dump() == doc.model_dump()


def test_a_draw_of_frames_follows_from_seed_and_iteration(store, source):
    few = source.model_copy(update={"max_source_frames": 12})
    first = [(run.source, step) for run, step, *_ in snapshots(explored(few, 1))]
    assert len(first) <= 12
    again = [(run.source, step) for run, step, *_ in snapshots(explored(few, 1))]
    assert again == first
    second = [(run.source, step) for run, step, *_ in snapshots(explored(few, 2))]
    assert second != first


def test_what_an_iteration_has_taken_is_no_candidate_of_the_next(store, source):
    taken = set()
    for iteration in (1, 2):
        doc = explored(source, iteration)
        frames = {(run.source, step) for run, step, *_ in snapshots(doc)}
        assert not frames & taken
        assert len(frames) == 38 - len(taken)
        maker = SelectMaker(params=make_selector("random"))
        job = maker.make(context(iteration), explored=[doc], budget=6)
        with job_store() as outputs:
            selection = job.run(store=outputs).output
        assert selection.accepted == 6
        entries = list(store.ledger(DATASET).entries(iteration=iteration, stage="select"))
        for entry in entries:
            origin = entry["origin"]
            assert origin["temperature"] is None
            cell = next(
                atoms
                for run, step, atoms, _ in snapshots(doc)
                if (run.source, step) == (origin["source"], origin["step"])
            )
            kept = to_atoms(Structure.from_dict(entry["structure"]))
            np.testing.assert_allclose(kept.positions, cell.positions, atol=1e-9)
            taken.add((origin["source"], origin["step"]))
    result = gains(VerifyContext(store))
    assert (result.checked, result.problems) == (12, [])


def test_the_job_that_reads_files_comes_after_the_dynamics(source):
    beside = source.model_copy(update={"dynamics": True, "batch_size": 4})
    assert ExploreMaker(params=beside).batches(["diamond"]) == 3 + 1
    assert ExploreMaker(params=source).batches(["diamond"]) == 1
    assert ExploreMaker(params=unbiased(source)).batches(["diamond"]) == 2


def test_paths_begin_at_the_campaign_files_folder(tmp_path, source, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    file = folder / "campaign.yaml"
    config = CONFIG | {"explore": {"source": ["md/*.traj", str(tmp_path / "b.traj")]}}
    file.write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    campaign = load_campaign("campaign.yaml")
    assert campaign.explore.source == (str(folder / "md" / "*.traj"), str(tmp_path / "b.traj"))
    with pytest.raises(ValueError, match=r"explore.source of iteration 1: .*\.traj matches no"):
        check_sources(campaign)
    (folder / "md").mkdir()
    (tmp_path / "b.traj").rename(folder / "md" / "b.traj")
    with pytest.raises(ValueError, match=r"b.traj does not exist"):
        check_sources(campaign)
    file.write_text(yaml.safe_dump(CONFIG | {"iterations": [{"explore": {"source": ["md"]}}]}))
    check_sources(load_campaign(file))
    file.write_text(yaml.safe_dump(CONFIG | {"explore": {"source": ["../b.traj"]}}))
    with pytest.raises(ValueError, match="leaves the folder of the campaign file"):
        load_campaign(file)
    file.write_text(yaml.safe_dump(CONFIG | {"explore": {"dynamics": False}}))
    with pytest.raises(ValueError, match="dynamics is false and source is empty"):
        load_campaign(file)
