"""A label engine in another package: named in a campaign file, made, and labelling a cell."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure

from entropy_flows.flows import ActiveLearningMaker
from entropy_flows.label import engine_of, label_batch, make_static_maker
from entropy_flows.schemas import load_campaign
from entropy_flows.schemas.named_code import named_code

PACKAGE = Path(__file__).with_name("third_party")
PATH = "third_party.engine:LennardJonesParams"
EPSILON = 0.3
SIGMA = 2.0
CELL = Lattice.cubic(9.5)
"""Its images are farther than the cutoff of 3 σ."""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a campaign file with this engine; the package is importable and declares its name."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    info = tmp_path / "site" / "third_party-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third_party\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[entropy_flows.engines]\nlennard-jones = {PATH}\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.chdir(tmp_path)

    def write(**label):
        config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
        path = tmp_path / "campaign.yaml"
        path.write_text(yaml.safe_dump(config | {"label": label}))
        return path

    return write


@pytest.mark.parametrize("engine", ["lennard-jones", PATH])
def test_a_campaign_labels_cells_with_it(write, engine):
    campaign = load_campaign(write(engine=engine, epsilon=EPSILON, sigma=SIGMA))
    maker = ActiveLearningMaker.from_campaign(campaign).plan.label
    maker = MontyDecoder().decode(MontyEncoder().encode(maker))  # as through the database
    distances = np.array([2.2, 2.5, 3.0])
    cells = [Structure(CELL, ["Si", "Si"], [[0, 0, 0], [r / CELL.a, 0, 0]]) for r in distances]
    labels = list(label_batch(maker.static_maker, cells))
    power = (SIGMA / distances) ** 6
    energies = 4 * EPSILON * (power**2 - power)
    forces = 24 * EPSILON / distances * (2 * power**2 - power)
    np.testing.assert_allclose([label.energy for label in labels], energies, rtol=1e-12)
    np.testing.assert_allclose([label.forces[1, 0] for label in labels], forces, rtol=1e-12)
    assert labels[0].provenance["engine"] == "Lennard-Jones"


def test_its_hash_depends_on_its_parameters_alone(write):
    hashes = [
        engine_of(make_static_maker(load_campaign(write(**label)).label)).hash
        for label in (
            {"engine": "lennard-jones", "sigma": 2.0},
            {"engine": PATH, "sigma": 2.0, "batch_size": 3},
            {"engine": "lennard-jones", "sigma": 2.1},
        )
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_its_keys_are_checked(write):
    with pytest.raises(ValueError, match=r"label: unknown key 'sgima'.*did you mean 'sigma'\?"):
        load_campaign(write(engine="lennard-jones", sgima=2.0))
    with pytest.raises(ValueError, match=r"label.sigma: Input should be greater than 0"):
        load_campaign(write(engine="lennard-jones", sigma=-1))
    by_path = load_campaign(write(engine=PATH, sgima=2.0))
    with pytest.raises(ValueError, match=r"label: unknown key 'sgima'.*did you mean 'sigma'\?"):
        make_static_maker(by_path.label)


def test_reading_a_file_runs_no_code_that_it_names(write, tmp_path):
    (tmp_path / "mine.py").write_text("raise RuntimeError('imported')\n")
    campaign = load_campaign(write(engine="mine:Params", depth=1.0))
    [code] = [code for code in named_code(campaign, tmp_path) if code.is_engine]
    assert (code.key, code.path, code.trusted) == ("label.engine", "mine:Params", False)
