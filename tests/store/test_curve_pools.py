"""What a learning curve's models are trained on and tested with, on a real database."""

import shutil
import uuid
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cells import rattled

from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs import IterationContext, curve
from entropy_flows.jobs.curve import PointMaker, Pools
from entropy_flows.label.read import Label
from entropy_flows.potentials import locate_model
from entropy_flows.schemas import Campaign, CurveParams
from entropy_flows.settings import settings
from entropy_flows.store import CampaignStore, Entry, connect
from entropy_flows.train import TrainParams, TrainResult, assign_splits

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.0, natx=4, elements=("Si",)))
CONFIG = {
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "forcefield"},
}
NAMES = {
    "entropy": "ours",
    "random": "ours.random-40",
    "independent": "ours.independent-1",
    "common": "another",
}


def fill(database, name, seed, anchors=0, n=40):
    """A campaign with labels; every fourth cell has large forces, the last ones are anchors."""
    store = CampaignStore(database, name)
    store.create(Campaign.model_validate(CONFIG | {"name": name}))
    cells = [to_structure(rattled("Si", 1, seed=seed + number)) for number in range(n)]
    for stage, own in (("select", range(n - anchors)), ("anchor", range(n - anchors, n))):
        entries = [
            Entry(
                f"001/{stage}/{i:05d}/00010", cells[i], np.ones((2, 4)), 0.5, {"phase": "diamond"}
            )
            for i in own
        ]
        store.ledger(DATASET).append_accepted(1, stage, entries)
    for number, entry in enumerate(store.ledger(DATASET).entries()):
        forces = np.full((2, 3), 5.0 if number % 4 == 0 else 0.5)
        label = Label(
            n_atoms=2,
            converged=True,
            energy=-float(number),
            free_energy=-float(number),
            forces=forces,
            stress=np.zeros((3, 3)),
            pressure=0.0,
        )
        store.add_label(entry, "hash", label.as_dict())
    labels = list(store.labels())
    keys, energies = [label["key"] for label in labels], [label["energy"] / 2 for label in labels]
    store.set_splits(assign_splits({}, energies, keys, (0.8, 0.1, 0.1), 42))


@pytest.fixture(scope="module")
def filled(server):
    """A database with the campaigns of all pools; tests add campaigns of their own."""
    opened = connect(server, f"test_{uuid.uuid4().hex[:12]}")
    fill(opened, "ours", 0, anchors=10)
    for number, name in enumerate(list(NAMES.values())[1:], 1):
        fill(opened, name, 100 * number)
    yield opened
    opened.client.drop_database(opened.name)
    opened.client.close()


@pytest.fixture
def database(filled, server, tmp_path, monkeypatch):
    """The filled database, configured as this machine's."""
    monkeypatch.setenv("ENTROPY_FLOWS_URI", server)
    monkeypatch.setenv("ENTROPY_FLOWS_DATABASE", filled.name)
    monkeypatch.setenv("ENTROPY_FLOWS_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()
    yield filled
    settings.cache_clear()


@pytest.fixture
def pools(database):
    return Pools(NAMES, "hash", CurveParams())


def names(frames):
    return {atoms.info["name"] for atoms in frames}


def stages(frames):
    return {atoms.info["stage"] for atoms in frames}


def test_each_method_draws_from_its_pool(pools):
    for method, campaign in (("entropy", "ours/"), ("random", "ours.random-40/")):
        cells, held = pools.training(method, 12, 42)
        assert len(names(cells)) == 12
        assert held
        assert all(name.startswith(campaign) for name in names(cells) | names(held))
        assert stages(cells) == {"select"}
    everything, _ = pools.training("campaign", 30, 42)
    assert stages(everything) == {"select", "anchor"}


def test_the_mixed_pool_takes_quiet_cells_of_the_baseline(pools):
    cells, held = pools.training("mixed", 20, 42)
    near = [atoms for atoms in cells if atoms.info["name"].startswith("ours.random")]
    assert (len(cells), len(near)) == (20, 4)
    assert max(np.linalg.norm(atoms.get_forces(), axis=1).max() for atoms in near) < 2.0
    assert any(name.startswith("ours.random") for name in names(held))


def test_no_test_cell_trains_or_validates(pools):
    tests = pools.tests()
    assert list(tests) == ["in-distribution", "independent", "common"]
    assert len(tests["independent"]) == 40
    for method in ("entropy", "random", "mixed", "campaign"):
        cells, held = pools.training(method, 15, 7)
        assert not names(cells) & names(held)
        for frames in tests.values():
            assert not names(frames) & (names(cells) | names(held))


def test_too_small_a_pool_is_told(pools):
    with pytest.raises(
        ValueError, match=r"the entropy pool has \d+ cells to train on, 99 are wanted"
    ):
        pools.training("entropy", 99, 42)


def test_tests_that_are_not_there_are_left_out(pools):
    assert list(Pools({"entropy": "ours"}, "hash", CurveParams()).tests()) == ["in-distribution"]


def point(store, place, recipe, batch=0, tests=NAMES):
    """A curve's point, as its job makes it."""
    maker = PointMaker(train=recipe)
    model = store.model(0)["reference"]
    context = IterationContext(store.name, 1, model=model, engine_hash="hash")
    return PointMaker.make.original(maker, context, batch=batch, point=place, pools=tests)


def test_a_point_that_another_curve_has_is_not_trained_again(
    pools, database, monkeypatch, tmp_path
):
    """As when a size, seed or method is added; what decides the result makes another point."""
    base, trained = locate_model("shipped:si-small.nequip.zip", Path()), []

    def fine_tune(train, val, test, model, recipe, folder):
        trained.append(recipe.seed)
        own = Path(shutil.copy(base, tmp_path / f"{len(trained)}.nequip.zip"))
        with zipfile.ZipFile(own, "a") as archive:
            archive.comment = own.name.encode()  # another file each time
        return TrainResult(
            own, "", "", 3, 3, [], {}, {"train": [(0, "too many edges")]}, 4, 1, 1, 60.0
        )

    monkeypatch.setattr(curve, "fine_tune", fine_tune)
    recipe = TrainParams(preset="small")
    first, second = (CampaignStore(database, f"ours.curve-{number}") for number in (1, 2))
    for store in (first, second):
        store.create(Campaign.model_validate(CONFIG | {"name": store.name}))
        store.save_model(0, base, role="base")
    made = point(first, ("entropy", 8, 42), recipe)
    again = point(
        second,
        ("entropy", 8, 42),
        recipe.model_copy(update={"committee": 3, "device": "cuda"}),
        batch=5,
    )
    assert (trained, again) == ([42], made)
    assert made.trained_on == 7
    assert (
        [kept["model"] for kept in second.points()]
        == [second.model(6)["reference"]]
        == [made.model]
    )
    point(second, ("entropy", 8, 7), recipe)
    point(second, ("entropy", 9, 42), recipe)
    point(second, ("random", 8, 42), recipe)
    assert trained == [42, 7, 42, 42]
    third = CampaignStore(database, "ours.curve-3")
    third.create(Campaign.model_validate(CONFIG | {"name": third.name}))
    third.save_model(0, base, role="base")
    point(third, ("entropy", 8, 42), recipe.model_copy(update={"max_epochs": 2}))
    point(third, ("entropy", 9, 42), recipe, tests={"entropy": "ours"})
    assert trained == [42, 7, 42, 42, 42, 42]
