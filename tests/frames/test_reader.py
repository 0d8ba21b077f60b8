"""Frames of files of every format, compressed and damaged, and where folders have them."""

import bz2
import gzip
import lzma
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from cells import Spring, rattled

from entropy_flows.frames.locate import locate_files
from entropy_flows.frames.pool import FramePool
from entropy_flows.frames.reader import count_frames, read_frames


def silicon(count=3):
    return [rattled("Si", 1, seed=seed) for seed in range(count)]


def sodium_chloride(count=3):
    cells = []
    for seed in range(count):
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        atoms.rattle(0.1, seed=seed)
        cells.append(atoms)
    return cells


def same(frames, cells, tolerance=1e-6):
    assert [frame.defect for frame in frames] == [None] * len(cells)
    assert [frame.index for frame in frames] == list(range(len(cells)))
    for frame, atoms in zip(frames, cells, strict=True):
        assert frame.atoms.get_chemical_symbols() == atoms.get_chemical_symbols()
        np.testing.assert_allclose(frame.atoms.cell[:], atoms.cell[:], atol=tolerance)
        shifts = frame.atoms.get_scaled_positions() - atoms.get_scaled_positions()
        np.testing.assert_allclose(shifts - shifts.round(), 0, atol=tolerance)
        assert frame.atoms.pbc.all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("md.extxyz", "extxyz"),
        ("md.xyz", "extxyz"),
        ("md.traj", "traj"),
        ("XDATCAR", "vasp-xdatcar"),
        ("XDATCAR_npt", "vasp-xdatcar"),
        ("md.json", "json"),
    ],
)
def test_a_format_that_ase_writes(tmp_path, name, kind):
    cells = sodium_chloride()
    if name == "XDATCAR_npt":
        for number, atoms in enumerate(cells):
            atoms.set_cell(atoms.cell * (1 + 0.01 * number), scale_atoms=True)
    write(tmp_path / name, cells, format=kind)
    assert count_frames(tmp_path / name) == 3
    same(list(read_frames(tmp_path / name)), cells)
    last = list(read_frames(tmp_path / name, indices={2}))
    assert [frame.index for frame in last] == [2]
    same(list(read_frames(tmp_path / name, with_labels=True)), cells)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
@pytest.mark.parametrize(("name", "kind"), [("md.extxyz", "extxyz"), ("md.traj", "traj")])
def test_a_compressed_file(tmp_path, name, kind, ending, pack):
    cells = silicon()
    write(tmp_path / name, cells, format=kind)
    packed = tmp_path / (name + ending)
    packed.write_bytes(pack((tmp_path / name).read_bytes()))
    same(list(read_frames(packed)), cells)


def dump(cells, columns="id type x y z", elements=None):
    text = []
    for step, atoms in enumerate(cells):
        lengths = atoms.cell.lengths()
        text += [f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"]
        text += ["ITEM: BOX BOUNDS pp pp pp\n", *(f"0 {length:.10f}\n" for length in lengths)]
        text += [f"ITEM: ATOMS {columns}\n"]
        order = np.random.default_rng(step).permutation(len(atoms))
        for index in order:
            x, y, z = atoms.positions[index]
            name = elements[index] if elements else 1 + (atoms[index].symbol == "Cl")
            text.append(f"{index + 1} {name} {x:.8f} {y:.8f} {z:.8f}\n")
    return "".join(text)


def cubic():
    cells = []
    for seed in range(3):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.rattle(0.1, seed=seed)
        cells.append(atoms)
    return cells


def test_types_of_a_lammps_dump_need_elements(tmp_path):
    cells = cubic()
    path = tmp_path / "dump.nacl"
    path.write_text(dump(cells))
    frames = list(read_frames(path))
    assert {frame.defect for frame in frames} == {
        "atoms have types 1, 2 and no element; name them by --types Si,O"
    }
    same(list(read_frames(path, ["Na", "Cl"])), cells)
    few = next(read_frames(path, ["Na"]))
    assert few.defect == "there is a type 2; --types names 1 of them"
    path.write_text(dump(cells, "id element x y z", cells[0].get_chemical_symbols()))
    same(list(read_frames(path)), cells)


def test_an_outcar_is_read_step_by_step():
    """The one that ASE tests its own reader with."""
    path = Path(ase.__file__).parent / "test/testdata/vasp/OUTCAR_example_1"
    if not path.is_file():
        pytest.skip("this ASE comes without its tests' data")
    cells = read(path, ":", format="vasp-out")
    frames = list(read_frames(path, with_labels=True))
    same(frames, cells)
    for frame, atoms in zip(frames, cells, strict=True):
        np.testing.assert_array_equal(frame.atoms.get_forces(), atoms.get_forces())


def test_labels_come_along_when_they_are_asked_for(tmp_path):
    cells = silicon()
    for atoms in cells:
        atoms.calc = Spring()
        atoms.get_stress()
    write(tmp_path / "a.extxyz", cells)
    assert all(frame.atoms.calc is None for frame in read_frames(tmp_path / "a.extxyz"))
    labelled = list(read_frames(tmp_path / "a.extxyz", with_labels=True))
    for frame, atoms in zip(labelled, cells, strict=True):
        np.testing.assert_allclose(frame.atoms.get_forces(), atoms.get_forces(), atol=1e-8)


def test_a_bad_frame_costs_no_other(tmp_path):
    write(tmp_path / "a.extxyz", silicon(5))
    frames = (tmp_path / "a.extxyz").read_text().split("2\n")[1:]
    frames[1] = frames[1].replace("Si ", "Zz ", 1)
    words = frames[2].splitlines()
    frames[2] = "\n".join([words[0], "Si nan 0 0", words[2]]) + "\n"
    frames[3] = frames[3].replace("Lattice=", "Cage=").replace('pbc="T T T"', "")
    (tmp_path / "a.extxyz").write_text("".join(f"2\n{frame}" for frame in frames))
    read_again = list(read_frames(tmp_path / "a.extxyz"))
    assert [frame.atoms is None for frame in read_again] == [False, True, True, True, False]
    assert "'Zz', which is no element's symbol" in read_again[1].defect
    assert "a finite number is needed" in read_again[2].defect
    assert read_again[3].defect == "not periodic in three directions: it has 0 cell vectors"


def test_a_slab_is_told_how_to_be_a_cell(tmp_path):
    slab = silicon(1)[0]
    slab.pbc = (True, True, False)
    write(tmp_path / "a.extxyz", slab)
    (frame,) = read_frames(tmp_path / "a.extxyz")
    assert 'pbc is "T T F"; expected "T T T"' in frame.defect


def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path):
    write(tmp_path / "a.extxyz", silicon(200))
    packed = gzip.compress((tmp_path / "a.extxyz").read_bytes())
    (tmp_path / "a.extxyz.gz").write_bytes(packed[: len(packed) // 2])
    frames = list(read_frames(tmp_path / "a.extxyz.gz"))
    assert 0 < len(frames) < 200
    assert "damaged or cut off" in frames[-1].defect


def test_files_of_a_folder_in_order_of_their_numbers(tmp_path):
    cells = silicon(1)
    for name in ("run10", "run2"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "XDATCAR", cells, format="vasp-xdatcar")
        (tmp_path / name / "OUTCAR").write_text("the same frames")
        (tmp_path / name / "INCAR").write_text("NSW = 10")
    write(tmp_path / "md.extxyz", cells)
    names = [str(path.relative_to(tmp_path)) for path in locate_files([tmp_path])]
    assert names == ["md.extxyz", "run2/OUTCAR", "run10/OUTCAR"]
    pattern = str(tmp_path / "run*" / "XDATCAR")
    paths = locate_files([pattern, tmp_path / "run2" / "XDATCAR"])
    assert [path.parent.name for path in paths] == ["run2", "run10"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.xyz", "does not exist; expected a file, a folder or a pattern"),
        ("*.traj", "matches no file"),
        ("folder", "has no .extxyz"),
        ("script.py", "runs code; it is not read"),
        ("empty.xyz", "is empty"),
        ("words.txt", "is of no format that ASE"),
    ],
)
def test_what_cannot_be_read(tmp_path, source, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "script.py").write_text("print('boo')\n")
    (tmp_path / "empty.xyz").write_text("")
    (tmp_path / "words.txt").write_text("not a cell\n")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        FramePool.of(str(tmp_path / source))
    assert message in str(caught.value)


def test_an_unreadable_file_among_others_is_left_out(tmp_path):
    write(tmp_path / "a.extxyz", silicon(2))
    (tmp_path / "b.extxyz").write_text("not a cell\n")
    pool = FramePool.of(str(tmp_path / "*.extxyz"))
    assert len(pool) == 2
    assert "b.extxyz is not" in pool.unreadable[0]


def test_numbers_lead_back_to_files(tmp_path):
    cells = silicon(5)
    write(tmp_path / "a.extxyz", cells[:2])
    write(tmp_path / "b.traj", cells[2:])
    pool = FramePool.of([tmp_path / "a.extxyz", tmp_path / "b.traj"])
    assert [pool.locate(number) for number in (0, 1, 2, 4)] == [(0, 0), (0, 1), (1, 0), (1, 2)]
    again = pool.labelled_cells([4, 0, 3])
    for atoms, number in zip(again, (4, 0, 3), strict=True):
        np.testing.assert_allclose(atoms.positions, cells[number].positions, atol=1e-8)
    assert read(tmp_path / "b.traj", 0) == cells[2]
