"""Extended XYZ as people have it: names, units, encodings and damages."""

import bz2
import gzip
import lzma
import re

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import Hartree, Rydberg
from cells import rattled, skewed

from entropy_flows.formats import labelled, write_extxyz, write_mace
from entropy_flows.label.existing import read_extxyz
from entropy_flows.label.extxyz import read_cells, read_frames

STRESS = "-0.01 0.002 0 0.002 -0.012 0 0 0 -0.011"
MATRIX = np.array(STRESS.split(), dtype=float).reshape(3, 3)
CELL = bulk("Si", cubic=True)
FORCES = np.random.default_rng(0).normal(scale=0.3, size=(8, 3)).round(4)
VOLUME = CELL.get_volume()
VIRIAL = " ".join(f"{x:.6f}" for x in (-MATRIX * VOLUME).ravel())


def text(
    keys=f'energy=-43.1 stress="{STRESS}"',
    properties="species:S:1:pos:R:3:forces:R:3",
    symbols=None,
    **changes,
):
    """One frame, with changes of its count, lattice, pbc or rows."""
    symbols = symbols or ["Si"] * 8
    columns = np.hstack([CELL.positions, FORCES])
    rows = [
        f"{symbol} {' '.join(f'{x:.8f}' for x in row)}"
        for symbol, row in zip(symbols, columns, strict=True)
    ]
    lattice = changes.get("lattice", f'Lattice="{" ".join(map(str, CELL.cell.array.ravel()))}"')
    pbc = changes.get("pbc", 'pbc="T T T"')
    comment = f"{lattice} Properties={properties} {keys} {pbc}"
    rows = changes.get("rows", lambda lines: lines)(rows)
    return "\n".join([str(changes.get("count", 8)), changes.get("comment", comment), *rows]) + "\n"


def frames_of(tmp_path, content, name="some.xyz"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_extxyz(path))


def one(tmp_path, content):
    (frame,) = frames_of(tmp_path, content)
    return frame


# -- names
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "column"),
    [
        (f'REF_energy=-43.1 REF_stress="{STRESS}"', "REF_forces"),
        (f'DFT_energy=-43.1 DFT_virial="{VIRIAL}"', "DFT_forces"),
        (f'dft_energy=-43.1 dft_virial="{VIRIAL}"', "dft_force"),
        (f'Energy=-43.1 Virial="{VIRIAL}"', "Forces"),
        (f'ENERGY=-43.1 STRESS="{STRESS}"', "FORCES"),
        (f'energy=-43.1 virials="{VIRIAL}"', "force"),
        (f'energy_dft=-43.1 stress_dft="{STRESS}"', "forces_dft"),
        (f'total_energy=-43.1 vasp_stress="{STRESS}"', "vasp_forces"),
        (f'PBE_energy=-43.1 stress_r2scan="{STRESS}"', "forces-pbe"),
        (f'TotEnergy=-43.1 stress="{STRESS}"', "force"),
        ("energy=-43.1 stress={-0.01 0.002 0 0.002 -0.012 0 0 0 -0.011}", "forces"),
        ('energy=-43.1 stress="-0.01 -0.012 -0.011 0 0 0.002"', "forces"),
        (
            'energy=-43.1 REF_stress="_JSON '
            '[[-0.01, 0.002, 0], [0.002, -0.012, 0], [0, 0, -0.011]]"',
            "forces",
        ),
        (f'REF_energy=-43.1 energy=-43.1 REF_virial="{VIRIAL}" stress="{STRESS}"', "forces"),
        (f'energy=-0.431D+02 stress="{STRESS.replace("-0.01 ", "-1.0d-2 ")}"', "forces"),
        (f"energy = \"-43.1\"  stress = '{STRESS}'", "forces"),
    ],
)
def test_labels_under_their_usual_names(tmp_path, keys, column):
    frame = one(tmp_path, text(keys, f"species:S:1:pos:R:3:{column}:R:3"))
    assert frame.defect is None
    assert frame.label.free_energy == frame.label.energy == pytest.approx(-43.1)
    np.testing.assert_allclose(frame.label.forces, FORCES, atol=1e-8)
    np.testing.assert_allclose(frame.label.stress, MATRIX, atol=1e-6)
    assert frame.label.pressure == pytest.approx(160.21766 * 0.011, rel=1e-4)
    names = {"energy", "stress", "forces", *re.findall(r"\w+(?==)", keys), column}
    for name in names - {"energy", "stress", "forces", "energy ", "_JSON"}:
        quantity = (
            "virial"
            if "virial" in name.lower()
            else next(q for q in ("energy", "stress", "force") if q in name.lower())
        )
        assert any(note.startswith(f"{name} is read as {quantity}") for note in frame.notes), (
            frame.notes
        )


def test_free_energy_and_energy_are_two_things(tmp_path):
    frame = one(tmp_path, text("energy=-43.1 free_energy=-43.3"))
    assert (frame.label.energy, frame.label.free_energy) == (-43.1, -43.3)
    frame = one(tmp_path, text("free_energy=-43.3"))
    assert (frame.label.energy, frame.label.free_energy) == (-43.3, -43.3)


def test_a_second_functional_is_beside_what_a_file_is_for(tmp_path):
    keys = f'energy=-43.1 pbe_energy=-42.0 virial="{VIRIAL}" scan_stress="1 0 0 0 1 0 0 0 1"'
    frame = one(tmp_path, text(keys))
    assert frame.label.energy == -43.1
    np.testing.assert_allclose(frame.label.stress, MATRIX, atol=1e-6)
    assert {"pbe_energy is not read", "scan_stress is not read"} <= set(frame.notes)
    frame = one(tmp_path, text("r2scan_energy=-43.1 pbe_energy=-42.0"))
    assert "contradict each other: r2scan_energy -43.1 and pbe_energy -42" in frame.defect


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("energy=-43.1 REF_energy=-42.0", ["energy -43.1", "REF_energy -42", "contradict"]),
        ("dft_energy=-43.1 REF_energy=-42.0", ["dft_energy -43.1", "REF_energy -42", "contradict"]),
        ("energy=-43.1 Energy=-4310", ["energy -43.1", "Energy -4310", "contradict"]),
        (
            f'energy=-43.1 stress="{STRESS}" virial="{VIRIAL.replace("1.6", "9.6")}"',
            ["stress", "virial", "contradict"],
        ),
        (f'energy=-43.1 stress="{STRESS}" virial="{STRESS}"', ["stress -0.01", "contradict"]),
        ("energy=-43.1 energy=-42.1", ["energy is there twice", "-43.1", "-42.1"]),
        ('energy=-43.1 stress="1 2 3"', ["stress is '1 2 3'", "9 finite numbers"]),
        ('energy=-43.1 stress="0 0.5 0 -0.5 0 0 0 0 0"', ["not symmetric"]),
        ('energy=-43.1 virials="nan 0 0 0 1 0 0 0 1"', ["virials is 'nan", "9 finite numbers"]),
        ("energy=********", ["energy is '********'"]),
        ("energy=None", ["energy is 'None'"]),
        ("energy=abc", ["energy is 'abc'"]),
        ("energy", ["energy is 'T'"]),
        ('energy="-1.0 -2.0"', ["energy is '-1.0 -2.0'"]),
        ("energy=-43,1", ["energy is '-43,1'"]),
        ("energy=nan", ["energy is 'nan'"]),
        ("energy=-inf", ["energy is '-inf'"]),
        ("energy=1e400", ["energy is '1e400'"]),
        ("energy=-0.431-102", ["energy is '-0.431-102'"]),
        ("energy=-43.1 split=holdout", ["split is 'holdout'", "train, val or test"]),
        ('energy=-43.1 note="never closed', ["without"]),
        ("mace_energy=-43.1", ["no energy", "mace_energy"]),
    ],
)
def test_what_is_no_label_is_told(tmp_path, keys, words):
    good = text()
    first, bad, last = frames_of(tmp_path, good + text(keys, pbc="") + good)
    assert first.defect is last.defect is None
    assert bad.location == "some.xyz[1]"
    for word in words:
        assert word in bad.defect
    assert len(bad.defect) < 300


def test_what_looks_like_a_label_and_is_none_is_noted(tmp_path):
    keys = f'energy=-43.1 mace_energy=-40.0 pressure=17 local_virial="{VIRIAL}"'
    frame = one(tmp_path, text(keys, "species:S:1:pos:R:3:forces:R:3"))
    assert frame.defect is None
    assert set(frame.notes) == {
        f"{name} is not read" for name in ("mace_energy", "pressure", "local_virial")
    }


# -- units and size of stresses
# ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [160.21766, 1602.1766, -1602.1766, VOLUME])
def test_stresses_of_another_unit_cannot_be(tmp_path, factor):
    """GPa, kBar, VASP's kBar, and a virial."""
    wrong = " ".join(f"{x:.6f}" for x in (MATRIX * factor).ravel())
    frame = one(tmp_path, text(f'energy=-43.1 stress="{wrong}"'))
    assert "is it in kBar?" in frame.defect
    virial = " ".join(f"{x:.6f}" for x in (-MATRIX * factor * VOLUME).ravel())
    assert "is it in kBar?" in one(tmp_path, text(f'energy=-43.1 virial="{virial}"')).defect


@pytest.mark.parametrize(
    ("unit", "energy"),
    [
        ("energy_unit=eV", -43.1),
        ("energy-units=Hartree", -43.1 * Hartree),
        ("unit_energy=Ry", -43.1 * Rydberg),
        ("units=metal", -43.1),
        ('units="eV, Angstrom"', -43.1),
        ("stress_unit=eV/A^3", -43.1),
        ('stress_units="eV/Å³" force_unit=eV/Angstrom length_unit=Å', -43.1),
        ("virial_unit=eV n_units=4 charge_unit=e", -43.1),
        ("unit_cell=conventional community=qmmm", -43.1),
    ],
)
def test_units_that_are_named_count(tmp_path, unit, energy):
    frame = one(tmp_path, text(f'energy=-43.1 stress="{STRESS}" {unit}'))
    assert frame.defect is None
    assert frame.label.free_energy == pytest.approx(energy, rel=1e-6)
    np.testing.assert_allclose(frame.label.stress, MATRIX)


@pytest.mark.parametrize(
    "unit",
    ["stress-unit=kbar", "stress_unit=GPa", "stress_units=kB", "virial-unit=kbar",
     "energy_unit=eV/atom", "units=atomic", "unit=real", "forces_unit=N", "length_unit=bohr",
     'units="kcal/mol, Angstrom"', "REF_stress_unit=GPa"],
)  # fmt: skip
def test_units_that_are_not_ours_are_refused(tmp_path, unit):
    frame = one(tmp_path, text(f'energy=-43.1 stress="{STRESS}" {unit}'))
    assert unit.partition("=")[0] in frame.defect
    assert "expected" in frame.defect


def test_forces_of_another_unit_are_converted(tmp_path):
    frame = one(tmp_path, text("energy=-1.5 force_unit=hartree/bohr energy_unit=Ha"))
    np.testing.assert_allclose(frame.label.forces, FORCES * 51.422067, rtol=1e-6)
    assert frame.label.energy == pytest.approx(-1.5 * Hartree)


# -- text files
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bom.xyz", lambda raw: b"\xef\xbb\xbf" + raw),
        ("utf16.xyz", lambda raw: raw.decode().encode("utf-16")),
        ("crlf.xyz", lambda raw: raw.replace(b"\n", b"\r\n")),
        ("old_mac.xyz", lambda raw: raw.replace(b"\n", b"\r")),
        ("latin1.xyz", lambda raw: raw.replace(b"energy=", b"author=J\xf6rg energy=")),
        (
            "blank_lines.xyz",
            lambda raw: b"\n\n" + raw.replace(b"8\nLattice", b"\n  \n8\nLattice") + b"\n\n",
        ),
        ("packed", gzip.compress),
        ("set.xyz", gzip.compress),
        ("set.xyz.bz2", bz2.compress),
        ("set.xyz.xz", lzma.compress),
        ("set.xyz.gz", lambda raw: raw),
    ],
)
def test_text_is_read_however_it_was_written(tmp_path, name, change):
    frames = frames_of(tmp_path, change((text() + text("energy=-43.2")).encode()), name)
    assert [frame.defect for frame in frames] == [None, None]
    assert [frame.label.energy for frame in frames] == [-43.1, -43.2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x28\xb5\x2f\xfd" + b"0" * 60, "compressed by zstd"),
        (b"PK\x03\x04" + b"0" * 60, "compressed by zip"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "is not text"),
        (
            b"labels of March\nnothing else",
            "is not extended XYZ: expected a number of atoms, got 'labels of March'",
        ),
    ],
)
def test_files_that_are_no_extended_xyz(tmp_path, content, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        frames_of(tmp_path, content)


def test_deuterium_is_hydrogen_and_noted(tmp_path):
    symbols = ["D", "T", *["Si"] * 6]
    frame = one(tmp_path, text(symbols=symbols))
    assert frame.structure.composition.formula == "Si6 H2"
    assert frame.notes == ("D is read as H", "T is read as H")


@pytest.mark.parametrize("cut", [0.317, 0.63, 0.911])
def test_a_file_that_was_cut_off_costs_its_last_frame(tmp_path, cut):
    rng = np.random.default_rng(1)
    noise = [
        [f"Si {' '.join(f'{x:.8f}' for x in row)}" for row in rng.normal(3, 1, (8, 6))]
        for _ in range(40)
    ]
    whole = "".join(
        text("energy=-43.1 split=test", rows=lambda _, n=n: noise[n]) for n in range(40)
    ).encode()
    for raw in (
        whole[: int(cut * len(whole))],
        gzip.compress(whole)[: int(cut * len(gzip.compress(whole)))],
    ):
        *good, last = frames_of(tmp_path, raw)
        assert len(good) > 4
        assert all(frame.defect is None and frame.split == "test" for frame in good)
        assert last.defect


def test_a_number_that_was_cut_off_is_no_number(tmp_path):
    whole = text().rstrip("\n")
    assert [frame.defect for frame in frames_of(tmp_path, whole)] == [None]
    (frame,) = frames_of(tmp_path, whole[:-6])
    assert frame.defect.startswith("the file ends within a number")


# -- damaged frames
# ----------------------------------------------------------------------------------------------

DAMAGED = {
    "too few rows": ({"count": 9}, "it says 9 atoms and has 8 lines"),
    "too many rows": ({"count": 7}, "it says 7 atoms and has 8 lines"),
    "a huge count": ({"count": 10**12}, "it says 1000000000000 atoms"),
    "no atoms": ({"count": 0, "rows": lambda rows: []}, "it says 0 atoms"),
    "a negative count": ({"count": -8}, "it says -8 atoms"),
    "no comment": ({"comment": "Si 0 0 0 0 0 0"}, "atom 0 has 7 columns; Properties has 4"),
    "an empty comment": ({"comment": ""}, "atom 0 has 7 columns; Properties has 4"),
    "ragged rows": (
        {"rows": lambda rows: [*rows[:5], rows[5] + " 0.1", *rows[6:]]}, "atom 5 has 8 columns"
    ),
    "a short row": ({"rows": lambda rows: [*rows[:7], "Si 1.0 2.0"]}, "atom 7 has 3 columns"),
    "garbage behind": (
        {"rows": lambda rows: [*rows, "done in 3.5 s"]}, "it says 8 atoms and has 9 lines"
    ),
    "stars": (
        {"rows": lambda rows: ["Si 0 0 0 0 0 *******", *rows[1:]]}, "forces of atom 0 is '*******'"
    ),
    "a position of nan": (
        {"rows": lambda rows: ["Si nan 0 0 0 0 0", *rows[1:]]}, "pos of atom 0 is 'nan'"
    ),
    "no species": ({"properties": "name:S:1:pos:R:3:forces:R:3"}, "no species column"),
    "no positions": ({"properties": "species:S:1:r:R:3:forces:R:3"}, "pos has 0 columns"),
    "two forces": ({"properties": "species:S:1:pos:R:3:pos:R:3"}, "each name once"),
    "odd properties": ({"properties": "species:S:1:pos:R"}, "Properties is"),
    "zero columns": ({"properties": "species:S:1:pos:R:3:forces:R:0"}, "Properties is"),
    "a dummy": ({"symbols": ["X", *["Si"] * 7]}, "species of atom 0 is 'X'"),
    "a label for a symbol": ({"symbols": [*["Si"] * 7, "Si1"]}, "species of atom 7 is 'Si1'"),
    "a surface": ({"pbc": 'pbc="T T F"'}, "not periodic in three directions"),
    "no lattice": ({"lattice": ""}, "span a volume of 0"),
    "no lattice, not periodic": (
        {"lattice": "", "pbc": 'pbc="F F F"'}, "not periodic in three directions"
    ),
    "half a lattice": (
        {"lattice": 'Lattice="5.43 0 0 0 5.43 0"'}, "Lattice is '5.43 0 0 0 5.43 0'"
    ),
    "a lattice of stars": ({"lattice": 'Lattice="5.43 0 0 0 5.43 0 0 0 *****"'}, "Lattice is"),
    "a lattice of nan": ({"lattice": 'Lattice="5.43 0 0 0 nan 0 0 0 5.43"'}, "Lattice is"),
    "a flat lattice": ({"lattice": 'Lattice="5.43 0 0 0 5.43 0 5.43 5.43 0"'}, "span a volume of"),
    "a nearly flat lattice": ({"lattice": 'Lattice="5.4 0 0 0 5.4 0 0 5.4 0.0001"'}, "Å³ for each"),
    "a needle": (
        {"lattice": 'Lattice="30000 0 0 30000 0.05 0 0 0 0.5"'}, "images of it lie within"
    ),
    "odd pbc": ({"pbc": "pbc=yes"}, "pbc is 'yes'"),
    "two lattices": (
        {"keys": 'energy=-1 lattice="1 0 0 0 1 0 0 0 1"'}, "Lattice and lattice are both there"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_frame_costs_no_other(tmp_path, how):
    changes, words = DAMAGED[how]
    good = text()
    first, bad, last = frames_of(tmp_path, good + text(**changes) + good)
    assert first.defect is last.defect is None
    assert words in bad.defect
    assert "\n" not in bad.defect
    assert len(bad.defect) < 300


def test_a_left_handed_cell_is_as_good_as_any(tmp_path):
    frame = one(tmp_path, text(lattice='Lattice="0 5.43 0 5.43 0 0 0 0 5.43"'))
    assert frame.defect is None
    assert np.linalg.det(frame.structure.lattice.matrix) < 0


def test_other_columns_and_keys_are_kept(tmp_path):
    atoms = rattled("Si", 1)
    atoms.set_initial_magnetic_moments([1.0, -1.0])
    atoms.info |= {
        "group": "AIMD",
        "step": 12,
        "weights": np.array([0.5, 1.5]),
        "settings": {"a": [1, 2]},
        "done": True,
    }
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1.0, forces=np.zeros((2, 3)), magmoms=np.array([1.2, -1.2])
    )
    write(tmp_path / "set.xyz", atoms, format="extxyz")
    ((again,), left_out, notes) = (lambda file: (file.cells, file.left_out, file.notes))(
        read_cells(tmp_path / "set.xyz")
    )
    assert (left_out, notes) == ([], [])
    np.testing.assert_array_equal(again.get_initial_magnetic_moments(), [1.0, -1.0])
    np.testing.assert_allclose(again.calc.results["magmoms"], [1.2, -1.2])
    assert {name: again.info[name] for name in ("group", "step", "settings", "done")} == {
        "group": "AIMD", "step": 12, "settings": {"a": [1, 2]}, "done": True,
    }  # fmt: skip
    np.testing.assert_array_equal(again.info["weights"], [0.5, 1.5])


def test_what_is_written_comes_back_whole(tmp_path):
    """The labels of our own files: those that ASE reads, and MACE's."""
    rng = np.random.default_rng(3)
    frames = []
    for seed in range(6):
        atoms = skewed("Si2C", seed)
        numbers = {
            "energy": rng.normal(),
            "forces": rng.normal(size=(3, 3)),
            "stress": rng.normal(scale=0.1, size=6),
        }
        atoms.calc = SinglePointCalculator(atoms, **numbers)
        atoms.info |= {
            "split": ("train", "val", "test")[seed % 3],
            "key": f"001/select/{seed}",
            "phase": None,
        }
        frames.append(atoms)
    write_mace([labelled(atoms) for atoms in frames], tmp_path / "mace.xyz")
    write_extxyz(frames, tmp_path / "ours.xyz")
    for name in ("mace.xyz", "ours.xyz"):
        for existing, old in zip(read_extxyz(tmp_path / name), frames, strict=True):
            assert existing.defect is None
            assert existing.label.free_energy == pytest.approx(
                old.get_potential_energy(), abs=1e-12
            )
            np.testing.assert_allclose(existing.label.forces, old.get_forces(), atol=1e-8)
            np.testing.assert_allclose(
                existing.label.stress, old.get_stress(voigt=False), atol=1e-12
            )
            assert existing.split == old.info["split"]
            assert existing.label.provenance["info"]["key"] == old.info["key"]


def test_cells_of_a_file(tmp_path):
    (tmp_path / "some.xyz").write_text(
        text() + text("energy=***") + text("step=3") + text("REF_energy=-1.0")
    )
    file = read_cells(tmp_path / "some.xyz")
    assert len(file.cells) == 3
    assert file.left_out == ["some.xyz[1]: energy is '***'; a finite number is needed"]
    assert file.notes == ["REF_energy is read as energy (1 frames)"]
    file = read_cells(tmp_path / "some.xyz", ("energy", "forces", "periodic"))
    assert len(file.cells) == 2
    assert file.left_out[1] == (
        "some.xyz[2]: no energy; beside the cell it has forces, step; expected energy, REF_energy "
        "or another name of docs/labels.md"
    )
    (tmp_path / "none.xyz").write_text(text("energy=***") * 2)
    with pytest.raises(ValueError, match=r"none of 2 frames can be used; none.xyz\[0\]: energy is"):
        read_cells(tmp_path / "none.xyz")
    assert [frame.index for frame in read_frames(tmp_path / "none.xyz")] == [0, 1]
