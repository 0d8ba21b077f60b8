"""A selector and a fingerprint of another package, installed with pip and chosen in YAML."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from cells import rattled
from commands import run

from entropy_flows.fingerprints import GOM
from entropy_flows.modules import use_folder
from entropy_flows.schemas import load_campaign
from entropy_flows.schemas.named_code import refuse_unseen_plugins
from entropy_flows.select import SELECTORS, make_selector

PACKAGE = Path(__file__).with_name("third_party")
PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which pip has installed the package."""
    source = tmp_path_factory.mktemp("source") / "third_party"
    shutil.copytree(PACKAGE, source)  # a build leaves files in it
    target = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target"]
    command = [sys.executable, "-m", "pip", "install", *options, str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def importable(installed, monkeypatch):
    """The package among those of this process."""
    monkeypatch.syspath_prepend(str(installed))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "third_party"]:
        del sys.modules[name]


def pool(path):
    """Write cells with energies, each more disordered than the one before."""
    cells = []
    for number in range(40):
        atoms = rattled("Si", 2, stdev=0.005 * (number + 1), seed=number)
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 + 0.1 * number)
        cells.append(atoms)
    write(path, cells)
    return cells


def test_the_benchmark_runs_with_it_from_a_file(importable, tmp_path, monkeypatch, capsys):
    """By the command line, whose workers are processes that have the package on their path."""
    from third_party.selector import LargestSpread

    cells = pool(tmp_path / "pool.xyz")
    content = {
        "pool": "pool.xyz",
        "forces": False,
        "selectors": ["largest-spread"],
        "settings": {"largest-spread": {"exponent": 2.0}},
        "sizes": [6],
        "seeds": [1],
        "network": {"members": 2, "steps": 2, "hidden": [4]},
        "fingerprint": {"cutoff": 3.0, "natx": 8},
    }
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(content))
    arguments = ["bench-selectors", tmp_path / "bench.yaml", "-C", tmp_path / "bench"]
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 0, err
    result = json.loads(
        (tmp_path / "bench" / "points" / "networks" / "largest-spread-6-1.json").read_text()
    )
    chosen = result["chosen"]
    assert len(chosen) == 6
    spread = [LargestSpread(exponent=2.0).spread(GOM(cutoff=3.0, natx=8)(atoms)) for atoms in cells]
    assert min(spread[index] for index in chosen) > np.median(spread)


CAMPAIGN = {
    "name": "test",
    "elements": ["Si"],
    "base_model": "SevenNet-0",
    "label": {"engine": "forcefield"},
    "phases": [{"name": "diamond", "file": "diamond.cif"}],
    "select": {"selector": "largest-spread", "exponent": 2},
    "global_fingerprint": {"kind": "coordination", "radii": [3.0, 4.0]},
}


def test_a_campaign_file_names_both(importable, tmp_path):
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(CAMPAIGN))
    campaign = load_campaign(file)
    assert (type(campaign.select).__name__, campaign.select.exponent) == ("LargestSpread", 2.0)
    assert type(campaign.dataset.fingerprint).__name__ == "CoordinationSettings"
    assert type(campaign).model_validate(campaign.model_dump(mode="json")) == campaign
    assert type(campaign.select).from_dict(campaign.select.as_dict()) == campaign.select


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("select", {"exponent": 0}, "select.exponent: Input should be greater than 0"),
        ("select", {"exponnt": 1}, "select: unknown key 'exponnt'; did you mean 'exponent'?"),
        (
            "select",
            {"selector": "largest-sprd"},
            "select.selector: unknown selector 'largest-sprd'; "
         "did you mean 'largest-spread'?"),
        ("global_fingerprint", {"radii": []}, "global_fingerprint.radii: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(importable, tmp_path, section, changes, message):
    file = tmp_path / "campaign.yaml"
    content = {**CAMPAIGN, section: {**CAMPAIGN[section], **changes}}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=re.escape(message)):
        load_campaign(file)


def test_a_module_beside_the_campaign_file_is_found(tmp_path):
    shutil.copy(PACKAGE / "third_party" / "selector.py", tmp_path / "my_selectors.py")
    name = "my_selectors:LargestSpread"
    content = {**CAMPAIGN, "select": {"selector": name, "exponent": 3}}
    del content["global_fingerprint"]
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(content))
    try:
        campaign = load_campaign(file)
        assert (campaign.select.selector, campaign.select.exponent) == (name, 3.0)
    finally:
        use_folder(None)


def test_in_python_it_is_a_class(importable):
    from third_party.selector import LargestSpread

    assert make_selector("largest-spread", exponent=2) == LargestSpread(exponent=2)
    assert "largest-spread" in SELECTORS.names()


def test_the_derivatives_of_the_fingerprint_are_exact(importable):
    from third_party.fingerprint import Coordination

    fingerprint = Coordination(radii=(3.0, 4.5))
    atoms = rattled("Si", 1, stdev=0.2, seed=3)
    q, pullback = fingerprint.vjp(atoms)
    w = np.random.default_rng(0).normal(size=q.shape)
    gradient, strain = pullback(w)
    step = 1e-5

    def value(moved: Atoms) -> float:
        return float((fingerprint(moved) * w).sum())

    for atom, axis in ((0, 0), (1, 2)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            ends.append(value(moved))
        assert gradient[atom, axis] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)
    for a, b in ((0, 0), (0, 1)):
        ends = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[a, b] += sign * step
            moved = atoms.copy()
            moved.set_cell(atoms.cell @ deformation.T, scale_atoms=True)
            ends.append(value(moved))
        assert strain[a, b] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)
    assert fingerprint(bulk("Si")).shape == (2, 2)


@pytest.mark.parametrize("name", ["selector.py", "fingerprint.py"])
def test_the_page_shows_the_files_that_are_tested(name):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert (PACKAGE / "third_party" / name).read_text() in blocks


def test_check_does_not_run_a_file_s_own_code(tmp_path):
    (tmp_path / "theirs.py").write_text("raise SystemExit('imported')\n")
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump({**CAMPAIGN, "select": {"selector": "theirs:Mine"}}))
    with pytest.raises(ValueError, match=r"select\.selector: .* imports theirs:Mine.*--load"):
        refuse_unseen_plugins(file)
