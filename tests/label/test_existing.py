"""Labelled cells that exist already: units, signs, and one bad frame costs no other."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from cells import Spring, rattled

from entropy_flows.geometry import to_structure
from entropy_flows.label import LabelParams, make_static_maker
from entropy_flows.label.existing import is_run_of, read_extxyz, read_files, read_tasks

STANDIN = Path(__file__).parents[1] / "vasp" / "standin.py"


def labelled(seed=0, n=1):
    atoms = rattled("Si", repeat=n, stdev=0.1, seed=seed)
    atoms.calc = Spring()
    atoms.get_stress()
    return atoms


def frame_text(tmp_path, atoms):
    write(tmp_path / "one.extxyz", atoms, format="extxyz")
    return (tmp_path / "one.extxyz").read_text()


@pytest.mark.parametrize("name", ["set.extxyz", "set.extxyz.gz"])
def test_extended_xyz(tmp_path, name):
    frames = [labelled(seed) for seed in range(3)]
    text = "".join(frame_text(tmp_path, atoms) for atoms in frames)
    path = tmp_path / name
    with gzip.open(path, "wt") if name.endswith("gz") else path.open("w") as stream:
        stream.write(text)
    imported = list(read_extxyz(path))
    assert [frame.location for frame in imported] == [f"{name}[{n}]" for n in range(3)]
    assert [frame.source["index"] for frame in imported] == [0, 1, 2]
    for frame, atoms in zip(imported, frames, strict=True):
        assert frame.defect is None
        np.testing.assert_allclose(frame.structure.cart_coords, atoms.positions, atol=1e-7)
        np.testing.assert_allclose(frame.label.forces, atoms.get_forces(), atol=1e-7)
        np.testing.assert_allclose(frame.label.stress, atoms.get_stress(voigt=False), atol=1e-7)
        assert frame.label.free_energy == pytest.approx(atoms.get_potential_energy())
        assert frame.label.energy == frame.label.free_energy


def test_virial_is_minus_volume_times_stress(tmp_path):
    atoms = labelled(1)
    stress = atoms.get_stress(voigt=False)
    virial = " ".join(f"{x:.12f}" for x in (-stress * atoms.get_volume()).ravel())
    text = frame_text(tmp_path, atoms)
    start = text.index("stress=")
    end = text.index('"', text.index('"', start) + 1) + 1
    (tmp_path / "virial.xyz").write_text(text[:start] + f'virial="{virial}"' + text[end:])
    (frame,) = read_extxyz(tmp_path / "virial.xyz")
    np.testing.assert_allclose(frame.label.stress, stress, atol=1e-9)
    assert frame.label.pressure == pytest.approx(-np.trace(stress) / 3 * 160.21766, rel=1e-6)


def test_energy_and_free_energy_are_kept_apart(tmp_path):
    text = frame_text(tmp_path, labelled()).replace("energy=", "free_energy=-9.5 energy=", 1)
    (tmp_path / "both.xyz").write_text(text)
    (frame,) = read_extxyz(tmp_path / "both.xyz")
    assert frame.label.free_energy == -9.5
    assert frame.label.energy == pytest.approx(labelled().get_potential_energy())


def spoiled(text, how):
    head, comment, *rows = text.splitlines(keepends=True)
    if how == "too few rows":
        rows = rows[:-1]
    elif how == "too many rows":
        rows = [*rows, rows[-1]]
    elif how == "NaN force":
        rows[0] = " ".join([*rows[0].split()[:4], "nan", "0", "0"]) + "\n"
    elif how == "no number":
        rows[0] = rows[0].replace(rows[0].split()[1], "x.y")
    elif how == "no forces":
        comment = comment.replace(":forces:", ":velo:")
    elif how == "no energy":
        comment = comment.replace(" energy=", " other=")
    elif how == "a surface":
        comment = comment.replace('pbc="T T T"', 'pbc="T T F"')
    elif how == "bad stress":
        start = comment.index("stress=")
        comment = (
            comment[:start] + 'stress="nan 0 0 0 1 0 0 0 1" ' + comment[comment.index("pbc=") :]
        )
    return "".join([head, comment, *rows])


BAD = {
    "too few rows": "it says 2 atoms and has 1 lines",
    "too many rows": "it says 2 atoms and has 3 lines",
    "NaN force": "forces of atom 0 is 'nan'; a finite number is needed",
    "no number": "pos of atom 0 is 'x.y'; a finite number is needed",
    "no forces": "no forces; beside the cell it has energy",
    "no energy": "no energy; beside the cell it has forces, other",
    "a surface": "not periodic in three directions",
    "bad stress": "stress is 'nan 0 0 0 1 0 0 0 1'; 9 finite numbers are needed",
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_frame_has_its_reason_and_costs_no_other(tmp_path, how):
    good = frame_text(tmp_path, labelled())
    (tmp_path / "some.xyz").write_text(good + spoiled(good, how) + good)
    first, bad, last = read_extxyz(tmp_path / "some.xyz")
    assert first.defect is None
    assert last.defect is None
    assert BAD[how] in bad.defect


def test_what_is_no_extended_xyz(tmp_path):
    (tmp_path / "notes.txt").write_text("labels of March\n")
    with pytest.raises(
        ValueError, match=r"is not extended XYZ: expected a number of atoms, got 'labels of March'"
    ):
        list(read_files(tmp_path / "notes.txt"))
    with pytest.raises(ValueError, match=r"has no vasprun\.xml"):
        list(read_files(tmp_path))
    with pytest.raises(ValueError, match="does not exist"):
        list(read_files(tmp_path / "nothing"))
    text = gzip.compress(frame_text(tmp_path, labelled(n=2)).encode())
    (tmp_path / "cut.xyz.gz").write_bytes(text[: len(text) // 2])
    (frame,) = read_extxyz(tmp_path / "cut.xyz.gz")
    assert frame.defect.startswith("the file is damaged or cut off here: ")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs of the stand-in VASP: whole, compressed, and cut off."""
    from entropy_flows.label.dft import write_inputs

    top = tmp_path_factory.mktemp("runs")
    maker = make_static_maker(LabelParams(kpoint_length=10))
    for seed, name in enumerate(("a", "b/deep", "c")):
        write_inputs(to_structure(rattled("Si", repeat=1, seed=seed)), maker, top / name)
        subprocess.run([sys.executable, STANDIN], cwd=top / name, check=True, capture_output=True)
    deep = top / "b/deep/vasprun.xml"
    deep.with_suffix(".xml.gz").write_bytes(gzip.compress(deep.read_bytes()))
    deep.unlink()
    cut = top / "c/vasprun.xml"
    cut.write_bytes(cut.read_bytes()[:-900])
    return top, maker


def test_runs_of_vasp(runs):
    sys.path.insert(0, str(STANDIN.parent))
    from pair import PairPotential

    top, _ = runs
    whole, deep, cut = read_files(top)
    assert (whole.location, cut.location, deep.location) == (
        "a/vasprun.xml",
        "c/vasprun.xml",
        "b/deep/vasprun.xml.gz",
    )
    assert cut.defect.startswith("cut off, with 0 whole ionic steps of 1")
    for seed, frame in enumerate((whole, deep)):
        atoms = rattled("Si", repeat=1, seed=seed)
        atoms.calc = PairPotential()
        assert frame.label.free_energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert frame.label.energy > frame.label.free_energy  # half of the smearing's entropy
        np.testing.assert_allclose(frame.label.forces, atoms.get_forces(), atol=1e-6)
        np.testing.assert_allclose(frame.label.stress, atoms.get_stress(voigt=False), atol=1e-6)
        assert frame.label.provenance["ENCUT"] == 600


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"kpoint_length": 20}, False),
        ({"user_incar_settings": {"ENCUT": 520}}, False),
        ({"user_incar_settings": {"ALGO": "All", "NCORE": 4}}, True),
        ({"engine": "vasp-r2scan-rvv10"}, False),
        ({"user_potcar_settings": {"Si": "Si_sv_GW"}}, False),
    ],
)
def test_a_run_is_known_by_its_inputs(runs, changes, same):
    (frame,) = read_files(runs[0] / "a")
    assert (
        is_run_of(frame, make_static_maker(LabelParams(**{"kpoint_length": 10, **changes}))) is same
    )


def test_other_engines_did_not_run_it(runs):
    (frame,) = read_files(runs[0] / "a")
    assert not is_run_of(frame, make_static_maker(LabelParams(engine="forcefield")))


def test_task_documents(database):
    """Documents are read as jobflow stores them and as they are; others are refused."""
    atoms = bulk("Si", cubic=True)
    structure = to_structure(atoms).as_dict()
    output = {
        "energy": -43.0,
        "forces": np.zeros((8, 3)).tolist(),
        "stress": np.diag([10.0, 10, 10]).tolist(),
    }
    task = {
        "forcefield_name": "MLFF.SevenNet",
        "forcefield_version": "0.1",
        "structure": structure,
        "output": output,
    }
    rows = [
        {"uuid": "one", "index": 1, "output": task},
        {"task_id": "two", **task},
        {"uuid": "three", "index": 1, "output": {"energy": -1.0}},
        {"uuid": "four", "index": 1, "output": None},
    ]
    database["theirs"].insert_many(rows)
    frames = list(read_tasks(database["theirs"].find().sort("_id"), "theirs"))
    assert [frame.location for frame in frames] == [
        "theirs: one",
        "theirs: two",
        "theirs: three",
        "theirs: four",
    ]
    assert [frame.defect is None for frame in frames] == [True, True, False, False]
    assert "no energy" in frames[2].defect
    for frame in frames[:2]:
        assert frame.label.pressure == pytest.approx(1.0)  # 10 kBar, compressed
        assert frame.label.stress[0, 0] < 0
        assert frame.settings == {"code": "SevenNet"}
