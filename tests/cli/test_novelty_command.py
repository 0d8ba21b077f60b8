"""`entropy-flows novelty` from files and from a campaign, and bad input."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import read, write
from cells import Spring, rattled

from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.novelty import Novelty
from entropy_flows.fingerprints import GOMParams

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"
OPTIONS = ("--fingerprint", "{natx: 30, cutoff: 4.0}")
SILICON = DatasetParams(fingerprint=GOMParams(cutoff=4.0, natx=30, elements=("Si",)))


@pytest.fixture
def command(tmp_path, monkeypatch, run_main):
    """Run a command in the test's folder; exit code and what it prints, in one line."""
    monkeypatch.chdir(tmp_path)
    return run_main


def cells(count, stdev=0.05, first=0):
    return [rattled("Si", 2, stdev=stdev, seed=first + seed) for seed in range(count)]


@pytest.fixture
def files(tmp_path):
    """Known cells, a trajectory that leaves them from its frame 6 on, and one that does not."""
    write(tmp_path / "train.extxyz", cells(12))
    frames = [*cells(6, 0.02, 100), *cells(4, 0.3, 200)]
    write(tmp_path / "melt.traj", frames)
    write(tmp_path / "calm.extxyz.gz", cells(5, 0.02, 300))
    return tmp_path


def test_two_trajectories_beside_a_data_set(command, files):
    code, text = command(
        "novelty", "train.extxyz", "melt.traj", "calm.extxyz.gz", "-C", "n", *OPTIONS,
        "-o", "graded.extxyz", "--save", "known.json",
    )  # fmt: skip
    assert code == 0, text
    numbers = json.loads((files / "n" / "novelty.json").read_text())["trajectories"]
    melt, calm = numbers["melt.traj"], numbers["calm"]
    assert (melt["frames"], melt["first_above"], melt["share_above"]) == (10, 6, 0.4)
    assert (calm["frames"], calm["first_above"], calm["share_above"]) == (5, None, 0.0)
    novelty = Novelty.of(read(files / "train.extxyz", ":"), SILICON)
    frames = read(files / "melt.traj", ":")
    expected = [novelty.grades(atoms) for atoms in frames]
    np.testing.assert_allclose(melt["grades"], [grades.max() for grades in expected], rtol=1e-4)
    assert melt["numbers"] == list(range(10))
    assert melt["atoms"] == [int(grades.argmax()) for grades in expected]
    output = read(files / "graded.extxyz", ":")
    assert len(output) == 15
    np.testing.assert_allclose(output[8].arrays["novelty"], expected[8], rtol=1e-6)
    assert output[8].arrays["novel"].tolist() == (expected[8] > 1).astype(int).tolist()
    worst = read(files / "n" / "worst.extxyz", ":")
    assert (worst[0].info["source"], worst[0].info["frame"]) == ("melt.traj", melt["worst_frame"])
    assert '<figure id="novelty">' in (files / "n" / "index.html").read_text()
    assert (files / "n" / "novelty.png").stat().st_size > 5_000
    assert [frame.info["frame"] for frame in output] == [*range(10), *range(5)]
    assert f"{melt['worst']:.2f}" in text
    assert "frame 6" in text
    assert "known: 192 atoms of Si; of further atoms like these 0.1 % would be" in text
    # the same from the saved statistics
    code, _ = command("novelty", "known.json", "melt.traj", "-C", "again")
    assert code == 0
    again = json.loads((files / "again" / "novelty.json").read_text())["trajectories"]["melt.traj"]
    assert again == melt


def test_last_layer_uncertainty_in_the_features_of_a_model(command, files):
    settings = {"kind": "features", "model": "shipped:si-small.nequip.zip"}
    code, text = command(
        "novelty", "train.extxyz", "melt.traj", "-C", "n", "--measure", "llpr",
        "--fingerprint", json.dumps(settings), "--save", "known.json",
    )  # fmt: skip
    assert code == 0, text
    assert "known: 12 cells of Si" in text
    assert "a last-layer uncertainty" in text
    numbers = json.loads((files / "n" / "novelty.json").read_text())
    assert numbers["measure"] == "llpr"
    dataset = DatasetParams.model_validate({"fingerprint": settings})
    novelty = Novelty.of(read(files / "train.extxyz", ":"), dataset, measure="llpr")
    expected = [novelty.grades(atoms).max() for atoms in read(files / "melt.traj", ":")]
    melt = numbers["trajectories"]["melt.traj"]
    np.testing.assert_allclose(melt["grades"], expected, rtol=1e-4)
    assert melt["first_above"] == 6
    code, text = command("novelty", "known.json", "melt.traj", "--measure", "llpr")
    assert code != 0
    assert "leave out --known, --fingerprint, --regularization and --measure" in text


def test_folders_lammps_dumps_and_frames_without_a_cell(command, files):
    """Numbers are those of the file, also where a frame is left out; periods may be missing."""
    frames = [*cells(3, 0.02, 500), *cells(1, 0.3, 600)]
    lines = []
    for step, atoms in enumerate(frames):
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(atoms))]
        lines += ["ITEM: BOX BOUNDS pp pp pp", *["0.0 8.0"] * 3, "ITEM: ATOMS id type x y z"]
        lines += [
            f"{number} 1 {x:.6f} {y:.6f} {z:.6f}"
            for number, (x, y, z) in enumerate(atoms.positions, 1)
        ]
    (files / "runs").mkdir()
    (files / "runs" / "dump.lammpstrj").write_text("\n".join(lines) + "\n")
    slab = cells(2)
    for atoms in slab:
        atoms.pbc = (True, True, False)
    text = [write_text(slab[0]), write_text(slab[1])]
    broken = text[0].replace("Si ", "Si nan ", 1)
    (files / "runs" / "slab.extxyz").write_text(text[0] + broken + text[1])
    code, text = command("novelty", "train.extxyz", "runs", "-C", "n", *OPTIONS, "--types", "Si")
    assert code == 0, text
    assert "left out: runs/slab.extxyz[1]" in text
    numbers = json.loads((files / "n" / "novelty.json").read_text())["trajectories"]
    assert numbers["dump.lammpstrj"]["frames"] == 4
    slab = numbers["slab"]
    assert slab["frames"] == 2
    assert slab["worst_frame"] in (0, 2)
    assert slab["first_above"] == 0  # the atoms of the faces have lost their neighbours


def write_text(atoms):
    """The cell as text of extended XYZ."""
    stream = io.StringIO()
    write(stream, atoms, format="extxyz")
    return stream.getvalue()


def test_more_known_cells_and_another_limit(command, files):
    write(files / "hot.extxyz", cells(12, 0.3, 400))
    code, text = command(
        "novelty", "train.extxyz", "melt.traj", "-C", "n", *OPTIONS, "--known", "hot.extxyz",
        "--above", 1.5,
    )  # fmt: skip
    assert code == 0, text
    melt = json.loads((files / "n" / "novelty.json").read_text())["trajectories"]["melt.traj"]
    assert melt["above"] == 1.5
    assert (melt["share_above"], melt["first_above"]) == (0.0, None)
    assert "first above 1.5 │ –" in text or "first above 1.5 –" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train.extxyz", "none.traj"), "none.traj does not exist; expected a file, a folder"),
        (("none.extxyz", "melt.traj"), "none.extxyz does not exist"),
        (("train.extxyz", "carbon.extxyz"), "has C, of which the data set has no atom: it has Si"),
        (("train.extxyz", "broken.traj"), "broken.traj is not readable"),
        (("one.extxyz", "melt.traj"), "Si is in one cell of the data set"),
        (("train.extxyz", "melt.traj", "-o", "x.traj"), "expected a name that ends with .extxyz"),
        (("train.extxyz", "melt.traj", "-o", "no/x.xyz"), "folder no does not exist"),
        (("train.extxyz", "melt.traj", "--level", 1), "level is 1.0; expected a number between"),
        (("train.extxyz", "melt.traj", "--fingerprint", "soap"), "unknown fingerprint 'soap'"),
        (("text.json", "melt.traj"), "text.json is no saved novelty"),
        (("text.json", "melt.traj", "--known", "one.extxyz"), "leave out --known"),
    ],
)
def test_what_cannot_be_graded(command, files, arguments, message):
    write(files / "one.extxyz", cells(1))
    write(files / "carbon.extxyz", bulk("C"))
    (files / "broken.traj").write_text("no trajectory")
    (files / "text.json").write_text("{}")
    code, text = command("novelty", *arguments)
    assert code == 1
    assert message in text
    assert not (files / "novelty").exists()
    assert not list(files.glob("*.part*"))


def test_a_campaign_is_known_by_its_labels_and_its_own_fingerprint(database, command, files):
    config = yaml.safe_load(DEMO.read_text())
    config |= {
        "global_fingerprint": {"cutoff": 4.0, "natx": 30},
        "base_model": "SevenNet-0",
        "student": None,
        "label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"},
    }
    (files / "campaign.yaml").write_text(yaml.safe_dump(config))
    labelled = cells(12)
    for atoms in labelled:
        atoms.calc = Spring()
        atoms.get_stress()
    write(files / "labelled.extxyz", labelled)
    code, text = command("import", "campaign.yaml", "labelled.extxyz", "--settings-as-engine")
    assert code == 0, text
    code, text = command("novelty", "campaign.yaml", "melt.traj")
    assert code == 0, text
    numbers = json.loads((files / "novelty" / "novelty.json").read_text())
    assert numbers["dataset"]["fingerprint"]["natx"] == 30
    novelty = Novelty.of(labelled, SILICON)
    expected = [novelty.grades(atoms).max() for atoms in read(files / "melt.traj", ":")]
    np.testing.assert_allclose(numbers["trajectories"]["melt.traj"]["grades"], expected, rtol=1e-4)
