"""Labels of two settings do not meet in one campaign, whichever way the settings changed."""

from dataclasses import dataclass, field

import pytest
from jobflow import Maker, job

from entropy_flows.jobs import IterationContext, LabelMaker
from entropy_flows.jobs.engine import same_engine
from entropy_flows.label import LabelParams, engine_of, make_static_maker
from entropy_flows.schemas import Campaign
from entropy_flows.store import CampaignStore, StoreError, job_store

CONFIG = {
    "name": "one",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "label": {"engine": "vasp-pbe"},
}


@dataclass
class Static(Maker):
    """What a user's code might be before and after it was edited."""

    name: str = "static"
    smearing: float = 0.05
    mesh: list = field(default_factory=lambda: [2, 2, 2])

    @job
    def make(self, structure, prev_dir=None):
        return {
            "output": {
                "energy": -3.0,
                "forces": [[0.0] * 3] * len(structure),
                "structure": structure,
            }
        }


@pytest.fixture
def store(database):
    store = CampaignStore(database, "one")
    store.create(Campaign.model_validate(CONFIG))
    return store


def vasp(**incar):
    return make_static_maker(LabelParams(user_incar_settings=incar))


def test_the_first_engine_stays_and_differences_are_named(store):
    assert (
        same_engine(store, vasp(NCORE=4))
        == same_engine(store, vasp(NCORE=8, ALGO="All"))
        == engine_of(vasp()).hash
    )
    with pytest.raises(
        StoreError,
        match=r"'one' .* VASP PBE .*incar\.ENCUT 600\.0 → 520\.0; incar\.LASPH None → True",
    ):
        same_engine(store, vasp(ENCUT=520, LASPH=True))
    assert store.document()["engine"]["settings"]["incar"]["ENCUT"] == 600


def test_looking_writes_nothing(store):
    same_engine(store, Static(), write=False)
    assert "engine" not in store.document()
    same_engine(store, vasp())


def test_a_change_of_what_the_site_adds_is_seen(store, monkeypatch):
    from atomate2 import SETTINGS

    same_engine(store, vasp())
    monkeypatch.setattr(SETTINGS, "VASP_INCAR_UPDATES", {"EDIFF": 1e-4})
    with pytest.raises(StoreError, match=r"incar\.EDIFF 1e-06 → 0\.0001"):
        same_engine(store, vasp())


def test_a_worker_with_other_settings_labels_nothing(store):
    same_engine(store, Static())
    context = IterationContext("one", 1, engine_hash="hash")
    label = LabelMaker(static_maker=Static(smearing=0.1, mesh=[3, 3, 3]))
    made = label.make(context, batch=0, structures=[])
    with job_store() as outputs, pytest.raises(StoreError, match=r"smearing 0\.05 → 0\.1"):
        made.run(store=outputs)
