"""Imported cells are entries like any other; an import done twice, or half, leaves them once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from cells import Spring, rattled

from entropy_flows.entropy import MODES, SufficientStatistics
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import importing
from entropy_flows.jobs.import_keys import content_key
from entropy_flows.jobs.importing import Import
from entropy_flows.jobs.train import split_cells
from entropy_flows.label import Label, engine_of, make_static_maker
from entropy_flows.label.existing import ImportedFrame
from entropy_flows.launch.fireworks_manager import FireWorksManager
from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.verify import verify
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, Entry, StoreError, ledger, verify_context
from entropy_flows.train import TrainParams

CONFIG = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
    "global_fingerprint": {"cutoff": 3.0, "natx": 4},
}
CAMPAIGN = Campaign.model_validate(CONFIG)
OWN = engine_of(make_static_maker(CAMPAIGN.label)).hash


def frame(seed=0, location=None, symbol="Si", **changes):
    atoms = rattled(symbol, repeat=1, stdev=0.2, seed=seed)
    atoms.calc = Spring()
    energy, forces = atoms.get_potential_energy() - 5.0, atoms.get_forces()
    label = Label(
        2,
        True,
        energy=energy,
        free_energy=energy,
        forces=forces,
        stress=atoms.get_stress(voigt=False),
    )
    label = replace(label, pressure=-float(np.trace(label.stress)) / 3 * 160.21766, **changes)
    source = {"file": "set.xyz", "sha256": "0" * 64, "index": seed}
    return ImportedFrame(
        location or f"set.xyz[{seed}]", source, to_structure(atoms), label, {"file": "0" * 64}
    )


FRAMES = [frame(seed) for seed in range(12)]


@pytest.fixture
def store(database, monkeypatch):
    monkeypatch.setattr(importing, "IMPORT_BATCH", 5)
    monkeypatch.setattr(verify_context, "SETTLE_SECONDS", 0.0)
    store = CampaignStore(database, "test")
    store.create(CAMPAIGN)
    return store


def run(store, frames=FRAMES, **options):
    return Import(store, CAMPAIGN, **options).run(iter(frames))


def append(store, iteration, stage, count):
    book = store.ledger(CAMPAIGN.dataset)
    cells = [
        rattled("Si", repeat=1, seed=100 * iteration + 10 * len(stage) + n) for n in range(count)
    ]
    prints = book.fingerprint(cells)
    keys = [f"{iteration:03d}/{stage}/{number:05d}" for number in range(count)]
    made = [
        Entry(key, to_structure(cell), q, 0.5, {})
        for key, cell, q in zip(keys, cells, prints, strict=True)
    ]
    return book.append_accepted(iteration, stage, made)


def content(database):
    names = ("structures", "fingerprints", "covariances", "labels", "iterations")
    found = {
        name: list(database[name].find({}, {"created": 0, "updated": 0, "seals.created": 0}))
        for name in names
    }
    for row in [
        *found["fingerprints"],
        *found["covariances"],
        *found["labels"],
        *found["iterations"],
    ]:
        row.pop("_id")
        row.pop("lease", None)
        row.get("seals", {}).pop("created", None)
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def problems(store):
    pad = launchpad()
    return [
        line for check in verify(store, FireWorksManager(pad), deep=True) for line in check.problems
    ]


def test_imported_cells_are_entries_in_both_statistics(store):
    report = run(store, as_engine=True)
    assert (report.read, report.entered, report.present, report.own_engine, report.size) == (
        12,
        12,
        0,
        12,
        12,
    )
    assert report.skipped == []
    book = store.ledger(CAMPAIGN.dataset)
    entries = list(book.entries())
    assert [entry["position"] for entry in entries] == list(range(12))
    assert {(entry["iteration"], entry["stage"], entry["gain"]) for entry in entries} == {
        (0, "import", None)
    }
    assert [entry["key"] for entry in entries] == [content_key(made) for made in FRAMES]
    assert entries[3]["origin"]["source"] == FRAMES[3].source
    prints = book.fingerprint([made.structure.to_ase_atoms() for made in FRAMES])
    for mode in MODES:
        folded = SufficientStatistics(book.fingerprint.dim, 1e-3, mode)
        assert report.before[mode] == pytest.approx(folded.entropy())
        for q in prints:
            folded.add(q)
        assert report.after[mode] == pytest.approx(folded.entropy())
        assert book.statistics(1, "select")[mode].n == folded.n
    assert problems(store) == []


def test_labels_keep_their_numbers_and_their_provenance(store):
    run(store, as_engine=True)
    for label, made in zip(store.labels(), FRAMES, strict=True):
        assert label["engine_hash"] == OWN
        assert label["free_energy"] == made.label.free_energy
        np.testing.assert_array_equal(label["forces"], made.label.forces)
        np.testing.assert_array_equal(label["stress"], made.label.stress)
        assert label["provenance"]["file"] == "set.xyz"
        assert label["provenance"]["engine"].endswith("EMT (teacher, not DFT), imported")
    assert (
        store.copied_labels({"2": FRAMES[2].structure}, OWN)["2"]["free_energy"]
        == FRAMES[2].label.free_energy
    )


def test_labels_of_other_settings_count_for_selection_only(store):
    report = run(store)
    assert (report.entered, report.own_engine) == (12, 0)
    (engine_hash,) = {label["engine_hash"] for label in store.labels()}
    assert engine_hash != OWN
    assert store.frames(engine_hash=OWN) == []
    assert store.splits() == {}
    assert store.ledger(CAMPAIGN.dataset).statistics(1, "select")["config"].n == 12
    assert problems(store) == []
    again = run(store, as_engine=True)  # the user knows better now
    assert (again.entered, again.present, again.own_engine) == (0, 12, 12)
    assert len(store.frames(engine_hash=OWN)) == 12
    assert problems(store) == []


def test_parts_are_assigned_and_stay(store):
    run(store, FRAMES[:8], as_engine=True)
    first = store.splits()
    assert sorted(first) == sorted(content_key(made) for made in FRAMES[:8])
    assert set(first.values()) == {"train", "val", "test"}
    run(store, as_engine=True)
    assert store.splits().items() >= first.items()
    assert len(store.splits()) == 12


def test_importing_twice_is_importing_once(store, database):
    run(store, as_engine=True)
    before = content(database)
    report = run(store, [*FRAMES, *FRAMES[:3]], as_engine=True)
    assert (report.read, report.entered, report.present) == (15, 0, 15)
    assert report.before == report.after
    assert content(database) == before


class Killed(BaseException):
    """SIGKILL leaves no time for more."""


@pytest.mark.parametrize(
    ("owner", "write", "at"),
    [
        (ledger.Ledger, "_insert", 1),
        (ledger.Ledger, "_insert", 3),
        (CampaignStore, "add_labels", 1),
        (CampaignStore, "add_labels", 2),
        (CampaignStore, "set_splits", 1),
        (ledger.Ledger, "_store", 2),
        (CampaignStore, "record", 1),
    ],
)
def test_a_killed_import_goes_on(store, database, monkeypatch, owner, write, at):
    run(store, as_engine=True)
    whole = content(database)
    for name in whole:
        database[name].delete_many({})
    real, calls = getattr(owner, write), []

    def dies(*arguments, **options):
        calls.append(write)
        if len(calls) == at:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, write, dies)
        with pytest.raises(Killed):
            run(store, as_engine=True)
    assert content(database) != whole
    run(store, as_engine=True)
    assert content(database) == whole


def test_bad_frames_are_told_and_cost_no_other(store):
    germanium = replace(frame(3, location="ge"), structure=frame(3).structure.copy())
    germanium.structure.replace_species({"Si": "Ge"})
    bad = [ImportedFrame("dead", {}, defect="no forces"), germanium]
    report = run(store, [FRAMES[0], *bad, FRAMES[1]], as_engine=True)
    assert (report.read, report.entered) == (4, 2)
    assert report.skipped == [
        ("dead", "no forces"),
        ("ge", "has Ge; the campaign's elements are Si"),
    ]


def test_odd_labels_are_flagged(store):
    odd = frame(5)
    odd = replace(
        odd,
        label=replace(odd.label, forces=odd.label.forces + np.array([[500.0, 0, 0], [0, 0, 0]])),
    )
    report = run(store, [*FRAMES[:4], odd], as_engine=True)
    assert report.flagged == 1
    assert len(store.frames()) == 4
    assert "force" in next(iter(store.labels(flagged=True)))["odd"]
    assert problems(store) == []


def test_sequential_takes_what_gains(store):
    report = run(store, sequential=True, as_engine=True)
    entries = list(store.ledger(CAMPAIGN.dataset).entries())
    assert 0 < len(entries) <= 12
    assert report.entered == len(entries)
    assert all(entry["gain"] > 1e-3 for entry in entries[1:])
    assert len(report.skipped) == 12 - len(entries)


def test_what_is_imported_is_not_worth_a_label_again(store):
    """A cell's gain on the data set that has it, and on one that does not."""
    book = store.ledger(CAMPAIGN.dataset)
    q = book.fingerprint(FRAMES[7].structure.to_ase_atoms())
    run(store, FRAMES[:7] + FRAMES[8:])
    without = {mode: stats.gain(q) for mode, stats in book.statistics(1, "select").items()}
    run(store)
    covered = {mode: stats.gain(q) for mode, stats in book.statistics(1, "select").items()}
    for mode in MODES:
        assert covered[mode] < without[mode]


def test_the_loop_goes_on_from_what_was_imported(store):
    run(store, FRAMES[:6])
    assert append(store, 1, "select", 3) == 9
    with pytest.raises(StoreError, match="in the middle of iteration 1"):
        run(store)
    append(store, 1, "anchor", 1)
    store.record(1, train={"cells": 4})
    report = run(store)
    assert (report.iteration, report.entered, report.present, report.size) == (1, 6, 6, 16)
    book = store.ledger(CAMPAIGN.dataset)
    assert append(store, 2, "select", 2) == 18
    assert append(store, 1, "select", 3) == 9  # a job that runs twice finds its entries
    assert [entry["position"] for entry in book.entries()] == list(range(18))
    assert (book.requested(1, 1), book.requested(0, 2)) == (4, 6)  # what was imported cost nothing
    with pytest.raises(StoreError, match="iteration 2 is in the ledger by now"):
        book.import_entries(1, [Entry("import/late", FRAMES[0].structure, np.zeros((2, 4)), None)])


def test_an_import_races_with_a_selection(store, database):
    """Whoever is first: positions without gaps, a fingerprint each, and nothing lost."""
    barrier = threading.Barrier(3)

    def select(_):
        barrier.wait()
        return append(CampaignStore.open("test"), 1, "select", 12)

    def imports(part):
        barrier.wait()
        try:
            return run(CampaignStore.open("test"), part)
        except StoreError as err:
            return str(err)

    with ThreadPoolExecutor(3) as pool:
        ends = [
            pool.submit(select, None),
            *(pool.submit(imports, FRAMES[part::2]) for part in range(2)),
        ]
        ends = [end.result() for end in ends]
    book = store.ledger(CAMPAIGN.dataset)
    entries = list(book.entries())
    assert [entry["position"] for entry in entries] == list(range(len(entries)))
    assert sum(entry["stage"] == "select" for entry in entries) == 12
    assert len(list(book.fingerprints_between(0, len(entries)))) == len(entries)
    told = [end for end in ends[1:] if isinstance(end, str)]
    assert all("iteration 1" in end for end in told)
    assert database["leases"].count_documents({}) == 0
    store.record(1, train={"cells": 1})
    assert run(store).size == 24


def test_who_died_while_appending_is_not_waited_for_for_ever(store, database):
    until = 1000 * (time.time() + 0.5)
    database["leases"].insert_one({"_id": "ledger/test", "holder": "a dead one", "until": until})
    assert run(store, FRAMES[:2]).entered == 2
    assert database["leases"].count_documents({}) == 0


def test_a_training_keeps_the_parts_of_what_was_imported(store):
    run(store, as_engine=True)
    imported = store.splits()
    append(store, 1, "select", 6)
    for entry in store.ledger(CAMPAIGN.dataset).entries(iteration=1):
        store.add_label(entry, OWN, frame(entry["position"]).label.as_dict())
    frames = store.frames(engine_hash=OWN, iteration={"$lte": 1})
    first = split_cells(store, frames, 1, TrainParams())
    again = split_cells(
        store, store.frames(engine_hash=OWN, iteration={"$lte": 1}), 1, TrainParams()
    )
    for part, cells in first.items():
        keys = [atoms.info["key"] for atoms in cells]
        assert keys == [atoms.info["key"] for atoms in again[part]]
        assert all(imported[key] == part for key in keys if key in imported)
    assert sum(map(len, first.values())) == 18
