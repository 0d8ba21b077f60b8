"""Seed cells, their equation of state on a model, and the volume that stands for a pressure."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from entropy_flows.conventions import GPA
from entropy_flows.explore import EquationOfState, Phase, equation_of_state, prescale, seed_cell
from entropy_flows.potentials import OneByOne

THIRD = 1 / 3
CRYSTALS = {
    "diamond": (
        {"spacegroup": "Fd-3m", "lattice": {"a": 3.567}, "sites": {"C": [(0, 0, 0)]}},
        8,
        227,
        1.545,
    ),
    "beta-tin": (
        {"spacegroup": "I4_1/amd", "lattice": {"a": 4.81, "c": 2.65}, "sites": {"Si": [(0, 0, 0)]}},
        4,
        141,
        2.494,
    ),
    "graphite": (
        {
            "spacegroup": "P6_3/mmc",
            "lattice": {"a": 2.461, "c": 6.708, "gamma": 120},
            "sites": {"C": [(0, 0, 0.25), (THIRD, 2 * THIRD, 0.25)]},
        },
        4,
        194,
        1.421,
    ),
    "NaCl": (
        {
            "spacegroup": 225,
            "lattice": {"a": 5.64},
            "sites": {"Na": [(0, 0, 0)], "Cl": [(0.5, 0.5, 0.5)]},
        },
        8,
        225,
        2.82,
    ),
}
SILICON = {"spacegroup": "Fd-3m", "lattice": {"a": 5.43}, "sites": {"Si": [(0, 0, 0)]}}


class Volume(Calculator):
    """Energy (eV) as a function of the volume (Å³) alone."""

    implemented_properties = ("energy", "forces")

    def __init__(self, function):
        super().__init__()
        self.function = function

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": self.function(atoms.get_volume()),
            "forces": np.zeros((len(atoms), 3)),
        }


@pytest.mark.parametrize("name", CRYSTALS)
def test_crystal_from_its_space_group(name):
    source, n_atoms, number, nearest = CRYSTALS[name]
    cell = seed_cell(Phase(name=name, **source))
    assert len(cell) == n_atoms
    assert SpacegroupAnalyzer(cell).get_space_group_number() == number
    distances = (cell * (2, 2, 2)).distance_matrix
    assert distances[distances > 1e-6].min() == pytest.approx(nearest, abs=2e-3)
    assert not cell.site_properties


def test_primitive_and_supercell():
    cell = seed_cell(Phase(name="diamond", **SILICON, primitive=True, supercell=(2, 2, 2)))
    assert len(cell) == 16
    assert cell.volume == pytest.approx(2 * 5.43**3)
    long = seed_cell(Phase(name="diamond", **SILICON, supercell=(1, 1, 2)))
    assert long.lattice.abc == pytest.approx((5.43, 5.43, 10.86))


def test_structure_file(tmp_path):
    written = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    written.add_site_property("coordination_no", [8, 8])
    written.to_file(str(tmp_path / "seed.json"))
    cell = seed_cell(Phase(name="B2", file="seed.json", supercell=(1, 1, 2)), tmp_path)
    assert [site.specie.symbol for site in cell] == ["Mg", "Mg", "O", "O"]
    assert all(
        not hasattr(site.specie, "oxi_state") or site.specie.oxi_state is None for site in cell
    )
    assert not cell.site_properties
    assert cell.volume == pytest.approx(2 * 4.2**3)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"phase 'B8': file .*nowhere\.cif does not exist"):
        seed_cell(Phase(name="B8", file="nowhere.cif"), tmp_path)


def test_unreadable_file(tmp_path):
    (tmp_path / "seed.cif").write_text("not a crystal\n")
    with pytest.raises(ValueError, match=r"phase 'B8': .*seed\.cif is not a structure file"):
        seed_cell(Phase(name="B8", file="seed.cif"), tmp_path)


@pytest.mark.parametrize("species", [{"Si": 0.5, "C": 0.5}, {"Si": 0.5}])
def test_partly_occupied_sites(tmp_path, species):
    Structure(Lattice.cubic(4.0), [species], [[0, 0, 0]]).to_file(str(tmp_path / "alloy.json"))
    with pytest.raises(
        ValueError, match=r"phase 'alloy': .*alloy\.json has sites that are partly occupied"
    ):
        seed_cell(Phase(name="alloy", file="alloy.json"), tmp_path)


def test_too_many_atoms():
    phase = Phase(name="diamond", **SILICON, supercell=(2, 2, 2), max_atoms=63)
    with pytest.raises(ValueError, match="phase 'diamond': 64 atoms, more than max_atoms = 63"):
        seed_cell(phase)
    assert len(seed_cell(phase.model_copy(update={"max_atoms": 64}))) == 64


@pytest.mark.parametrize(
    "change",
    [{"spacegroup": "Fd-3q"}, {"spacegroup": 999}, {"lattice": {"a": 5.4, "c": 6.0}}],
)
def test_impossible_crystal(change):
    with pytest.raises(ValueError, match="phase 'wrong': "):
        seed_cell(Phase(name="wrong", **(SILICON | change)))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "give either `file`"),
        ({"file": "a.cif", **SILICON}, "give either `file`"),
        ({"spacegroup": "Fd-3m", "lattice": {"a": 5.43}}, "give either `file`"),
        ({**SILICON, "supercell": (1, 0, 1)}, "three positive integers"),
        ({**SILICON, "latice": {"a": 1}}, "did you mean 'lattice'"),
        ({**SILICON, "lattice": {"a": -1}}, "greater than 0"),
    ],
)
def test_wrong_description(source, message):
    with pytest.raises(ValidationError, match=message):
        Phase(name="x", **source)


@pytest.mark.parametrize(
    ("atoms", "make"),
    [
        (bulk("Cu", cubic=True), EMT),
        (bulk("Al", "fcc", a=4.3), EMT),  # 8 % too long: the window has to move
        (
            bulk("Ar", "fcc", a=5.0),
            lambda: LennardJones(sigma=3.4, epsilon=0.0104, rc=8.5, smooth=True),
        ),
    ],
)
def test_equation_of_state_is_the_models(atoms, make):
    """Against the energy's own derivatives with respect to volume, by a narrow polynomial."""
    before = atoms.copy()
    found = equation_of_state(atoms, OneByOne(make()))
    assert atoms == before
    assert atoms.calc is None

    start, cell = found.volume * len(atoms), atoms.cell.copy()
    volumes = start * np.linspace(0.985, 1.015, 9)
    energies = []
    for volume in volumes:
        scaled = before.copy()
        scaled.set_cell(cell * (volume / before.get_volume()) ** (1 / 3), scale_atoms=True)
        scaled.calc = make()
        energies.append(scaled.get_potential_energy())
    curve = np.poly1d(np.polyfit(volumes - start, energies, 4))
    minimum = min(curve.deriv().roots, key=abs).real
    assert found.volume == pytest.approx((start + minimum) / len(atoms), rel=2e-3)
    assert found.bulk_modulus == pytest.approx(
        (start + minimum) * curve.deriv(2)(minimum) * GPA, rel=0.03
    )


@pytest.mark.parametrize("function", [lambda V: 100 / V, lambda V: V, lambda V: float("nan")])
def test_a_model_that_does_not_bind(function):
    with pytest.raises(
        ValueError, match="no equation of state for Si2: the model's energy has no minimum between"
    ):
        equation_of_state(bulk("Si"), OneByOne(Volume(function)))


def test_prescale():
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.rattle(0.1, seed=0)
    eos = EquationOfState(volume=20.0, bulk_modulus=25.0)
    before = atoms.copy()
    for pressure, fraction in ((0, 1.0), (5, 0.8), (-5, 1.2), (15, 0.4)):
        scaled = prescale(atoms, pressure, eos)
        assert scaled.get_volume() == pytest.approx(fraction * 20 * len(atoms))
        np.testing.assert_allclose(
            scaled.get_scaled_positions(), atoms.get_scaled_positions(), atol=1e-12
        )
        assert scaled.cell.angles() == pytest.approx(atoms.cell.angles())
    assert atoms == before


def test_prescale_beyond_the_formula():
    with pytest.raises(
        ValueError,
        match=r"pressure 20 GPa is too high .* B0 = 25 GPa; the highest usable is 15 GPa",
    ):
        prescale(bulk("Si"), 20, EquationOfState(volume=20.0, bulk_modulus=25.0))
