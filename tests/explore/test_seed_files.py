"""Seeds from files: extended XYZ, what is wrong with a file in one line, and modules that are not
imported.
"""

import bz2
import json
import sys

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from pymatgen.core import Lattice, Structure

from entropy_flows.explore import Phase, seed_cell
from entropy_flows.explore.seed_files import read_structure

SILICON = bulk("Si", cubic=True)
LATTICE = 'Lattice="3 0 0 0 3 0 0 0 9"'


def test_extended_xyz_is_a_cell(tmp_path):
    atoms = SILICON.copy()
    atoms.info["note"] = "ab initio"
    for name in ("Si.xyz", "Si.extxyz", "Si.xyz.gz", "Si.XYZ"):
        write(tmp_path / name, atoms, format="extxyz")
        cell = seed_cell(Phase(name="diamond", file=name, supercell=(1, 1, 2)), tmp_path)
        assert (len(cell), cell.volume) == (16, pytest.approx(2 * atoms.get_volume()))
    data = (tmp_path / "Si.xyz").read_bytes().replace(b'note="ab initio"', b'note="\xe9"')
    (tmp_path / "odd.xyz.bz2").write_bytes(bz2.compress(b"\xef\xbb\xbf" + data))
    assert len(read_structure(tmp_path / "odd.xyz.bz2")) == 8


@pytest.mark.parametrize("name", ["initial_magmoms", "magmoms"])
def test_moments_of_extended_xyz_are_the_seeds(tmp_path, name):
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True)
    atoms.set_initial_magnetic_moments(None)
    atoms.set_array(name, atoms.positions[:, 0] * 2 - 1)
    write(tmp_path / "Fe.xyz", atoms, format="extxyz", write_results=False)
    cell = seed_cell(Phase(name="afm", file="Fe.xyz"), tmp_path)
    assert cell.site_properties["magmom"] == pytest.approx([-1.0, 1.87])


def _cif(species):
    structure = Structure(Lattice.cubic(3.0), [species], [[0, 0, 0]])
    return structure.to(fmt="cif")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("over.cif", "occupancy 1.02", "Occupancy 1.02"),
        ("half.cif", _cif({"Si": 0.5, "Ge": 0.5}), "or by several species, such as Si:0"),
        ("vacancy.cif", _cif({"Si": 0.5}), "partly occupied"),
        ("empty.cif", "", "is empty"),
        ("text.cif", "hello", "not a structure file that can be read: Invalid CIF"),
        ("cut.vasp", "Si\n1.0\n5.43 0 0\n", "not a structure file that can be read"),
        ("none.xyz", None, "none.xyz does not exist"),
        ("molecule.xyz", "2\n\nH 0 0 0\nH 0 0 0.74\n", "it is not periodic in three directions"),
        ("slab.xyz", f'1\n{LATTICE} pbc="T T F"\nSi 0 0 0\n', "it is not periodic"),
        ("two.xyz", f"1\n{LATTICE}\nSi 0 0 0\n" * 2, "it has 2 cells; expected one"),
        ("xyz.xyz", "8\nLattice=", "not a structure file that can be read"),
        ("list.json", "[]", "expected a structure, got list"),
        ("deep.yaml", "a: " + "[" * 900, "lists or mappings within one another"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_a_line(tmp_path, name, content, expected):
    if name == "over.cif":
        content = _cif({"Si": 1.0}).rstrip().rsplit(None, 1)[0] + " 1.02\n"
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"^phase 'seed': ") as caught:
        seed_cell(Phase(name="seed", file=name), tmp_path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("where", ["site", "cell"])
def test_a_file_in_pymatgens_format_imports_nothing(tmp_path, monkeypatch, where):
    (tmp_path / "intruder.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    content = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]]).as_dict()
    named = {"@module": "intruder", "@class": "Any"}
    if where == "site":
        content["sites"][0]["properties"]["note"] = [named]
    else:
        content |= named
    (tmp_path / "seed.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="it names the module 'intruder', which is not imported"):
        read_structure(tmp_path / "seed.json")
    assert "intruder" not in sys.modules


def test_a_seed_without_a_cell_is_refused(tmp_path):
    write(tmp_path / "Si.xyz", Atoms("Si"), format="extxyz")
    with pytest.raises(ValueError, match="not periodic"):
        read_structure(tmp_path / "Si.xyz")


def test_a_supercell_beyond_all_memory_is_refused_before_it_is_built(tmp_path):
    write(tmp_path / "Si.xyz", SILICON, format="extxyz")
    with pytest.raises(ValueError, match="8000000000000000 atoms, more than max_atoms = 64"):
        seed_cell(
            Phase(name="huge", file="Si.xyz", supercell=(100_000, 100_000, 100_000)), tmp_path
        )
