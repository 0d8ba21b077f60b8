"""An imported cell keeps its split; a cell that no label job would calculate does not enter."""

from dataclasses import replace

import numpy as np
import pytest
from cells import Spring, rattled

from entropy_flows.geometry import to_structure
from entropy_flows.jobs.import_keys import content_key
from entropy_flows.jobs.importing import Import
from entropy_flows.jobs.train import split_cells
from entropy_flows.label import Label, engine_of, make_static_maker
from entropy_flows.label.existing import ImportedFrame
from entropy_flows.label.reasons import check_geometry
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore
from entropy_flows.train import TrainParams

CONFIG = {
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
    "global_fingerprint": {"cutoff": 3.0, "natx": 4},
}
SPLITS = ("test", "val", "train", None)


def campaign(name, **changes):
    return Campaign.model_validate(CONFIG | {"name": name} | changes)


OWN = engine_of(make_static_maker(campaign("a").label)).hash


def frame(seed, split=None):
    atoms = rattled("Si", repeat=1, stdev=0.2, seed=seed)
    atoms.calc = Spring()
    energy = atoms.get_potential_energy() - 5.0
    label = Label(len(atoms), True, energy=energy, free_energy=energy, forces=atoms.get_forces())
    source = {"file": "set.xyz", "sha256": "0" * 64, "index": seed}
    return ImportedFrame(
        f"set.xyz[{seed}]", source, to_structure(atoms), label, {"file": "0" * 64}, split=split
    )


FRAMES = [frame(seed, SPLITS[seed % 4]) for seed in range(16)]


@pytest.fixture
def store(database):
    store = CampaignStore(database, "a")
    store.create(campaign("a"))
    return store


def run(store, frames, **changes):
    return Import(store, campaign(store.name, **changes), as_engine=True).run(iter(frames))


def test_a_split_that_comes_with_a_cell_is_kept(store):
    run(store, FRAMES)
    splits = store.splits()
    assert len(splits) == 16
    given = {content_key(one): one.split for one in FRAMES if one.split}
    assert splits.items() >= given.items()
    assert store.given_splits() == given
    report = run(store, FRAMES)
    assert store.splits() == splits
    assert not report.notes
    parts = split_cells(store, store.frames(engine_hash=OWN), 0, TrainParams())
    for part, cells in parts.items():
        assert {atoms.info["key"] for atoms in cells} == {
            key for key, split in splits.items() if split == part
        }


def test_a_cell_that_has_a_split_here_keeps_it_and_that_is_said(store):
    run(store, [replace(one, split=None) for one in FRAMES])
    before = store.splits()
    report = run(store, FRAMES)
    assert store.splits() == before
    other = sum(one.split not in (None, before[content_key(one)]) for one in FRAMES)
    assert other > 0
    assert sum(report.notes.values()) == other
    assert all("here, which it stays" in note for note in report.notes)


def test_the_same_cell_twice_is_held_out(store):
    """Whichever comes first."""
    pairs = [replace(FRAMES[0], split=split) for split in ("train", "test", None)]
    pairs += [replace(FRAMES[1], split=split) for split in ("val", "train")]
    run(store, pairs)
    assert store.splits() == {content_key(FRAMES[0]): "test", content_key(FRAMES[1]): "val"}


def test_a_split_in_another_campaign_counts(store, database):
    """Of an import of the same cells, and of a label that a job copies."""
    run(store, FRAMES)
    there = store.splits()
    other = CampaignStore(database, "b")
    other.create(campaign("b"))
    run(other, [replace(one, split=None) for one in FRAMES])
    assert other.splits() == there
    copied = CampaignStore(database, "c").copied_labels({"0": FRAMES[0].structure}, OWN)["0"]
    assert (copied["split"], copied["given_split"]) == ("test", "test")
    assert copied["copied_from"]["campaign"] == "a"


def test_labels_of_other_settings_have_no_split(store):
    report = Import(store, campaign("a")).run(iter(FRAMES))
    assert report.own_engine == 0
    assert store.splits() == {}
    run(store, FRAMES)  # the user knows better now
    assert store.given_splits() == {content_key(one): one.split for one in FRAMES if one.split}


def test_what_a_label_job_refuses_import_refuses(store):
    close = rattled("Si", 1, stdev=0.0)
    close.positions[1] = close.positions[0] + [0.0, 0.0, 1.0]
    thin = rattled("Si", 1, stdev=0.0)
    thin.set_cell([[3.86, 0, 0], [0, 3.86, 0], [0, 0, 0.5]])
    same = rattled("Si", 1, stdev=0.0)
    same.positions[1] = same.positions[0]
    cells = enumerate((close, thin, same))
    bad = [
        replace(FRAMES[0], location=f"bad[{n}]", structure=to_structure(atoms))
        for n, atoms in cells
    ]
    report = run(store, [*FRAMES[:2], *bad])
    assert (report.entered, report.size) == (2, 2)
    limit = campaign("a").label.min_distance_fraction
    assert report.skipped == [
        (one.location, f"bad_geometry: {check_geometry(one.structure, limit)}") for one in bad
    ]
    less = {"label": {**CONFIG["label"], "min_distance_fraction": 0.4}}
    assert (
        run(store, bad[:1], **less).entered
        == int(check_geometry(bad[0].structure, 0.4) is None)
        == 1
    )
    assert np.isfinite(
        store.ledger(campaign("a").dataset).statistics(1, "select")["atom"].entropy()
    )
