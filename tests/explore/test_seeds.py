"""Seeds with magnetic moments from wherever they may come, and what a file's notes say."""

import json
import warnings

import numpy as np
import pytest
from cells import crystal
from pydantic import ValidationError
from pymatgen.core import Lattice, Species, Structure
from pymatgen.electronic_structure.core import Magmom
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from entropy_flows.explore import Phase, build_seed, seed_cell
from entropy_flows.moments import moments_of

# AFM II: layers of Ni along [111] of rock salt, up and down, in the hexagonal setting of R-3m
AFM_II = {
    "spacegroup": "R-3m",
    "lattice": {"a": 2.953, "c": 14.468, "gamma": 120},
    "sites": {"Ni": [[0, 0, 0], [0, 0, 0.5]], "O": [[0, 0, 0.25]]},
}
AFM = [2, 2, -2, -2, 0, 0, 0, 0]


def rock_salt(metal="Ni", oxygen="O"):
    return crystal("Fm-3m", Lattice.cubic(4.17), [metal, oxygen], [[0, 0, 0], [0.5, 0.5, 0.5]])


def layers(cell):
    """Moment of each Ni by its place along [111]."""
    normal = np.ones(3) / 3**0.5
    metals = [
        (round(float(site.coords @ normal), 2), site.properties["magmom"])
        for site in cell
        if site.specie.Z == 28
    ]
    return sorted(metals)


@pytest.mark.parametrize("name", ["NiO.vasp", "NiO.cif", "NiO.json"])
def test_a_list_for_the_atoms_of_the_file_is_repeated(tmp_path, name):
    rock_salt().to_file(str(tmp_path / name))
    cell = seed_cell(Phase(name="afm", file=name, magmoms=AFM, supercell=(2, 1, 1)), tmp_path)
    assert len(cell) == 16
    small = seed_cell(Phase(name="afm", file=name, magmoms=AFM), tmp_path)
    for site in cell:  # the moment of the atom of which it is an image
        distances = [site.distance(other) for other in _repeated(small)]
        nearest = _repeated(small)[int(np.argmin(distances))]
        assert min(distances) < 1e-3
        assert site.properties["magmom"] == nearest.properties["magmom"]
    assert sorted(moments_of(cell)) == sorted(AFM * 2)


def _repeated(cell):
    images = []
    for shift in (0, 1):
        moved = cell.copy()
        moved.translate_sites(range(len(cell)), [shift, 0, 0], to_unit_cell=False)
        images += [*moved]
    lattice = Lattice(np.diag([2, 1, 1]) @ cell.lattice.matrix)
    species = [site.specie for site in images]
    properties = {"magmom": [site.properties["magmom"] for site in images]}
    coords = [site.coords for site in images]
    return Structure(
        lattice, species, coords, coords_are_cartesian=True, site_properties=properties
    )


def test_moments_by_element_and_by_oxidation_state(tmp_path):
    rock_salt().to_file(str(tmp_path / "NiO.vasp"))
    cell = seed_cell(Phase(name="fm", file="NiO.vasp", magmoms={"Ni": 1.7}), tmp_path)
    np.testing.assert_array_equal(moments_of(cell), [1.7] * 4 + [0] * 4)
    mixed = Structure(
        Lattice.cubic(4.5), ["Fe2+", "Fe3+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]
    )
    mixed.to_file(str(tmp_path / "mixed.json"))
    phase = Phase(name="mixed", file="mixed.json", magmoms={"Fe2+": 4, "Fe3+": -5})
    cell = seed_cell(phase, tmp_path)
    np.testing.assert_array_equal(moments_of(cell), [4, -5, 0])
    assert [site.species_string for site in cell] == ["Fe", "Fe", "O"]


def test_one_moment_for_each_site_of_the_space_group_goes_by_symmetry():
    cell = seed_cell(Phase(name="afm", **AFM_II, magmoms=(2, -2, 0), primitive=True))
    assert sorted(moments_of(cell)) == [-2, 0, 0, 2]  # twice the primitive cell of rock salt
    cell = seed_cell(
        Phase(name="afm", **AFM_II, magmoms=(2, -2, 0), primitive=True, supercell=(2, 2, 2))
    )
    assert len(cell) == 32
    assert sum(moments_of(cell)) == 0
    alike = [
        moment
        for a, b, _, d in zip(*cell.get_neighbor_list(3.0), strict=True)
        for moment in _product(cell, a, b, d)
    ]
    assert (alike.count(1), alike.count(-1)) == (16 * 6, 16 * 6)  # half of the 12 nearest in plane


def _product(cell, a, b, d):
    one, other = cell[a], cell[b]
    return (
        [np.sign(one.properties["magmom"] * other.properties["magmom"])]
        if one.specie.Z == other.specie.Z == 28
        else []
    )


def test_without_moments_the_primitive_cell_is_smaller():
    assert len(seed_cell(Phase(name="plain", **AFM_II, primitive=True))) == 2
    assert len(seed_cell(Phase(name="fm", **AFM_II, primitive=True, magmoms=(2, 2, 0)))) == 2


def test_the_primitive_seeds_supercell_takes_a_list_of_its_own(tmp_path):
    rock_salt().get_primitive_structure().to_file(str(tmp_path / "primitive.vasp"))
    matrix = ((0, 1, 1), (1, 0, 1), (1, 1, 0))  # AFM II: two formula units
    plain = seed_cell(Phase(name="a", file="primitive.vasp", supercell=matrix), tmp_path)
    assert len(plain) == 4
    assert moments_of(plain) is None
    cell = seed_cell(
        Phase(name="a", file="primitive.vasp", supercell=matrix, magmoms=(2, -2, 0, 0)), tmp_path
    )
    assert {moment for _, moment in layers(cell)} == {2, -2}
    repeated = seed_cell(
        Phase(name="a", file="primitive.vasp", supercell=matrix, magmoms=(2, 0)), tmp_path
    )
    np.testing.assert_array_equal(moments_of(repeated), [2, 2, 0, 0])


def test_three_sublattices(tmp_path):
    garnet = crystal(
        "Fm-3m",
        Lattice.cubic(8.4),
        ["Fe", "Mn", "O"],
        [[0, 0, 0], [0.25, 0.25, 0.25], [0.25, 0, 0]],
    )
    moments = np.where([site.specie.symbol == "Fe" for site in garnet], 4.0, -5.0)
    moments[-24:] = 0.1
    garnet.add_site_property("magmom", moments.tolist())
    garnet.to_file(str(tmp_path / "ferri.json"))
    cell = seed_cell(Phase(name="ferri", file="ferri.json", primitive=True), tmp_path)
    assert len(cell) == len(garnet) // 4
    by_element = {site.specie.symbol: site.properties["magmom"] for site in cell}
    assert by_element == {"Fe": 4.0, "Mn": -5.0, "O": 0.1}


def test_moments_of_a_magnetic_cif(tmp_path):
    cell = rock_salt()
    cell.add_site_property("magmom", [[0, 0, m] for m in AFM])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CifWriter(cell, write_magmoms=True).write_file(tmp_path / "afm.mcif")
        seed = seed_cell(Phase(name="afm", file="afm.mcif"), tmp_path)
    np.testing.assert_allclose(moments_of(seed), AFM)
    cell.add_site_property("magmom", [[0, 0, 2], [0, 2, 0]] + [[0, 0, 0]] * 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CifWriter(cell, write_magmoms=True).write_file(tmp_path / "canted.mcif")
        with pytest.raises(
            ValueError, match="phase 'canted': magnetic moments are not collinear: atom 1"
        ):
            seed_cell(Phase(name="canted", file="canted.mcif"), tmp_path)


def test_spins_of_species(tmp_path):
    species = [
        Species("Ni", 2, spin=2),
        Species("Ni", 2, spin=-2),
        Species("O", -2),
        Species("O", -2),
    ]
    cell = Structure(
        Lattice.cubic(4.2), species, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0]]
    )
    (tmp_path / "spin.json").write_text(json.dumps(cell.as_dict()))
    seed = seed_cell(Phase(name="spin", file="spin.json", supercell=(1, 1, 2)), tmp_path)
    np.testing.assert_array_equal(moments_of(seed), [2, 2, -2, -2, 0, 0, 0, 0])
    assert [site.species_string for site in seed] == ["Ni"] * 4 + ["O"] * 4


def test_the_phases_own_moments_come_before_those_of_the_file_and_of_the_table(tmp_path):
    cell = rock_salt("Ni2+", "O2-")
    cell.to_file(str(tmp_path / "plain.json"))
    cell.add_site_property("magmom", AFM)
    cell.to_file(str(tmp_path / "afm.json"))
    table = {"Ni2+": 1.5, "Ni": 5}
    of_file = seed_cell(Phase(name="a", file="afm.json"), tmp_path, table)
    np.testing.assert_array_equal(moments_of(of_file), AFM)
    own = seed_cell(Phase(name="a", file="afm.json", magmoms={"Ni": 1}), tmp_path, table)
    np.testing.assert_array_equal(moments_of(own), [1] * 4 + [0] * 4)
    of_table = seed_cell(Phase(name="a", file="plain.json"), tmp_path, table)
    np.testing.assert_array_equal(moments_of(of_table), [1.5] * 4 + [0.6] * 4)
    assert moments_of(seed_cell(Phase(name="a", file="plain.json"), tmp_path)) is None


@pytest.mark.parametrize(
    ("magmoms", "reason"),
    [
        (
            [2, -2],
            r"phase 'afm': 2 magmoms; expected one for each of 8 atoms, "
            r"or of the 16 of the supercell",
        ),
        ({"Fe": 2}, r"phase 'afm': magmoms names Fe, the cell has Ni, O"),
        ({"Ni2+": 2}, r"phase 'afm': magmoms names Ni2\+, the cell has Ni, O"),
    ],
)
def test_moments_that_do_not_fit_are_refused(tmp_path, magmoms, reason):
    rock_salt().to_file(str(tmp_path / "NiO.vasp"))
    with pytest.raises(ValueError, match=reason):
        seed_cell(
            Phase(name="afm", file="NiO.vasp", magmoms=magmoms, supercell=(2, 1, 1)), tmp_path
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magmoms": [[0, 0, 2], [2, 0, 0]]}, "not collinear"),
        ({"magmoms": ["up", "down"]}, "expected a number of μ_B"),
        ({"magmoms": {"Ni": "high"}}, "number"),
        ({"supercell": [[1, 0, 0], [0, 1, 0]]}, "3×3 matrix"),
        ({"supercell": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "3×3 matrix of integers with a volume"),
        ({"supercell": [1.5, 1, 1]}, "three positive integers"),
        ({"supercell": "2x2x2"}, "three positive integers"),
    ],
)
def test_a_wrong_description_is_refused(changes, reason):
    with pytest.raises(ValidationError, match=reason):
        Phase(name="x", **AFM_II, **changes)


def test_what_a_file_says_and_a_campaign_does_not_carry_is_told(tmp_path):
    cell = rock_salt()
    Poscar(cell, selective_dynamics=[[True, True, False]] * 8).write_file(tmp_path / "POSCAR")
    notes = build_seed(Phase(name="a", file="POSCAR"), tmp_path).notes
    assert notes == ("its selective dynamics are not carried: all atoms move",)
    mixed = Structure(
        Lattice.cubic(4.5), ["Fe2+", "Fe3+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]
    )
    mixed.to_file(str(tmp_path / "mixed.json"))
    notes = build_seed(Phase(name="a", file="mixed.json"), tmp_path).notes
    assert notes[0] == "its oxidation states add up to +3; labels are of neutral cells"
    assert notes[1].startswith("Fe2+ and Fe3+ are one species, Fe, to models and label engines")
    cell.set_charge(1)
    cell.to_file(str(tmp_path / "charged.json"))
    with pytest.raises(ValueError, match=r"phase 'a': the cell has a charge of \+1"):
        build_seed(Phase(name="a", file="charged.json"), tmp_path)
    assert build_seed(Phase(name="plain", **AFM_II)).notes == ()
    (tmp_path / "held.xyz").write_text(
        '2\nLattice="3 0 0 0 3 0 0 0 3" '
        "Properties=species:S:1:pos:R:3:move_mask:L:1:initial_charges:R:1\n"
        "Ni 0 0 0 T 1\nO 1.5 1.5 1.5 F -1\n"
    )
    notes = build_seed(Phase(name="a", file="held.xyz"), tmp_path).notes
    assert notes == (
        "its selective dynamics are not carried: all atoms move",
        "the charges of its sites are not carried",
    )


@pytest.mark.parametrize("column", ["initial_magmoms", "magmoms"])
def test_moments_of_extended_xyz(tmp_path, column):
    (tmp_path / "afm.extxyz").write_text(
        f'2\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:{column}:R:1\n'
        "Ni 0 0 0 1.7\nNi 1.5 1.5 1.5 -1.7\n"
    )
    np.testing.assert_array_equal(
        moments_of(seed_cell(Phase(name="a", file="afm.extxyz"), tmp_path)), [1.7, -1.7]
    )


def test_moments_of_a_magnetic_cif_written_as_json(tmp_path):
    """pymatgen keeps them as objects."""
    cell = rock_salt()
    cell.add_site_property("magmom", [Magmom([0, 0, m]) for m in AFM])
    (tmp_path / "afm.json").write_text(cell.to_json())
    np.testing.assert_allclose(
        moments_of(seed_cell(Phase(name="a", file="afm.json"), tmp_path)), AFM
    )
