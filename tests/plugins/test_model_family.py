"""A model family and its trainer in another package: loaded, driven, trained and stored by name."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import TypeAdapter, ValidationError

from entropy_flows.batch import Batch
from entropy_flows.entropy import LocalBias
from entropy_flows.explore import Condition, ExploreParams, Run, explore
from entropy_flows.fingerprints import GOM
from entropy_flows.potentials import (
    file_suffix,
    load_batch_model,
    load_calculator,
    model_elements,
    with_arguments,
)
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.named_code import named_code
from entropy_flows.store import CampaignStore
from entropy_flows.train import AnyTrainParams, TrainParams, fine_tune, trainer_for

PACKAGE = Path(__file__).with_name("third_party")
FAMILY = {"family": "third_party.pair:PairFamily"}
TRAINER = "third_party.pair:PairTrainer"


def labelled(seed):
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    source = atoms.copy()
    source.calc = EMT()
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=source.get_potential_energy(),
        forces=source.get_forces(),
        stress=source.get_stress(),
    )
    return atoms


TRAIN, VAL, TEST = [[labelled(seed) for seed in seeds] for seeds in (range(12), (20, 21), (30,))]


@pytest.fixture(scope="module")
def pair():
    """The module of the other package, importable by its path alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKAGE))
        import third_party.pair

        yield third_party.pair


@pytest.fixture
def registered(pair, tmp_path, monkeypatch):
    """The same package with the metadata of an installed one."""
    info = tmp_path / "site" / "third_party-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third_party\nVersion: 0.1\n")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    lines = []
    for group, plugins in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {path}" for name, path in plugins.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(info.parent))
    return pair


@pytest.fixture(scope="module")
def result(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    base = with_arguments(pair.write_pair_model(folder / "cu.pair.json", [29], 5.0), FAMILY)
    seen = []
    trained = fine_tune(TRAIN, VAL, TEST, base, TrainParams(), folder, on_progress=seen.append)
    return base, trained, seen


def test_training_lowers_the_errors_on_cells_it_has_not_seen(result):
    _, trained, seen = result
    spread = np.std([atoms.get_forces() for atoms in TEST])

    assert trained.test["forces_mae"] < 0.3 * spread
    assert trained.test["energy_mae"] < 0.02
    assert [progress.epoch for progress in seen] == [1]


def test_forces_and_stress_are_derivatives_of_the_energy(result):
    _, trained, _ = result
    atoms = TEST[0].copy()
    atoms.calc = load_calculator(with_arguments(trained.model, FAMILY))
    numerical = atoms.calc.calculate_numerical_forces(atoms, d=1e-4)
    strain = atoms.calc.calculate_numerical_stress(atoms, d=1e-5)

    np.testing.assert_allclose(atoms.get_forces(), numerical, atol=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), strain, atol=1e-6)


def test_an_import_path_beside_the_name_is_enough(result):
    base, _, _ = result
    with pytest.raises(ValueError, match="is not known"):
        load_calculator("cu.pair.json")
    assert model_elements(base) == ("Cu",)
    assert load_batch_model(base)(Batch.of([bulk("Cu")])).energy.abs().max() == 0.0
    with pytest.raises(ValueError, match=r"'third_party\.pair:PairModel' is no model family"):
        load_calculator(with_arguments("cu.pair.json", {"family": "third_party.pair:PairModel"}))


def test_it_drives_trajectories(result):
    _, trained, _ = result
    model = load_batch_model(with_arguments(trained.model, FAMILY))
    runs = [Run(index, Condition("fcc", 300.0, 0.0, 0.0), "atom", index) for index in range(2)]
    params = ExploreParams(steps=10, warm_up=0, ramp=0, snapshot_every=5)
    cells = [bulk("Cu") * (2, 2, 2) for _ in runs]
    trajectories = explore(runs, cells, model, LocalBias(GOM(cutoff=3.0, natx=8)), params)

    assert [len(trajectory.positions) for trajectory in trajectories] == [2, 2]
    assert all(np.isfinite(trajectory.energies).all() for trajectory in trajectories)


def test_a_registered_family_is_found_by_the_suffix_and_brings_its_trainer(
    registered, result, tmp_path
):
    _, trained, _ = result
    assert model_elements(trained.model) == ("Cu",)
    assert file_suffix(trained.model) == ".pair.json"
    assert type(trainer_for(trained.model)) is registered.PairTrainer
    again = fine_tune(TRAIN, VAL, TEST, trained.model, TrainParams(), tmp_path)
    assert again.test["energy_mae"] == pytest.approx(trained.test["energy_mae"], rel=0.1)
    assert fine_tune(TRAIN, VAL, TEST, trained.model, TrainParams(), tmp_path).reused


def test_keys_of_its_own_are_read_without_importing_it_and_checked_when_it_is_asked(
    pair, result, tmp_path
):
    base, _, _ = result
    model = base.partition("?")[0]
    read = TypeAdapter(AnyTrainParams).validate_python
    params = read({"trainer": TRAINER, "ridge": 1e-3, "seed": 1})
    assert "nowhere" not in sys.modules
    assert read({"trainer": "nowhere:Mine", "ridge": 1}).trainer == "nowhere:Mine"
    assert read(TypeAdapter(AnyTrainParams).dump_python(params)) == params
    assert type(params).from_dict(params.as_dict()) == params
    assert fine_tune(TRAIN, VAL, [], model, params, tmp_path).epochs == 1
    with pytest.raises(ValueError, match=r"unknown key 'rigde'.*did you mean 'ridge'"):
        fine_tune(TRAIN, VAL, [], model, read({"trainer": TRAINER, "rigde": 1}), tmp_path)
    with pytest.raises(ValidationError, match="unknown key 'ridge'"):
        read({"trainer": "nequip", "ridge": 1})
    with pytest.raises(ValueError, match="without weight_bins"):
        fine_tune(
            TRAIN, VAL, [], model,
            read({"trainer": TRAINER, "weight_bins": [[None, 1.0]]}), tmp_path,
        )  # fmt: skip


def test_its_files_are_stored_and_fetched(registered, result, database):
    store = CampaignStore(database, "copper")
    base, trained, _ = result
    fetched = store.fetch_model(store.save_model(1, trained.model))
    assert fetched.endswith(".pair.json")
    assert model_elements(fetched) == ("Cu",)
    named = store.fetch_model(store.save_model(2, base))
    assert model_elements(named) == ("Cu",)


def test_a_campaign_file_names_its_code_and_keeps_the_keys():
    config = {
        "name": "copper",
        "elements": ["Cu"],
        "base_model": {"name": "cu.pair.json", **FAMILY},
        "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
        "phases": [{"name": "fcc", "file": "fcc.cif"}],
        "train": {"trainer": TRAINER, "ridge": 1e-3},
        "iterations": [{"train": {"ridge": 1e-4}}],
    }
    campaign = Campaign.model_validate(config)
    again = Campaign.model_validate(campaign.model_dump(mode="json"))

    assert again.iteration(1).train == campaign.iteration(1).train
    assert campaign.iteration(1).train.model_dump()["ridge"] == 1e-4
    untrusted = {code.key: code.path for code in named_code(again, PACKAGE) if not code.trusted}
    assert untrusted == {"base_model.family": FAMILY["family"], "train.trainer": TRAINER}
