"""Which cells have a vacuum: crystals have none; slabs, wires and molecules have."""

import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, make_supercell, molecule, mx2, nanotube
from ase.lattice.hexagonal import Graphite
from ase.spacegroup import crystal

from entropy_flows.vacuum import vacuum_of


def boxed(name, edge):
    atoms = molecule(name)
    atoms.set_cell([edge] * 3)
    atoms.pbc = True
    return atoms


def slab(vacuum=6.0):
    atoms = fcc111("Cu", (2, 2, 4), vacuum=vacuum)
    atoms.pbc = True
    return atoms


HEXAGONAL = {3.77: [3.77, 3.77, 6.16, 90, 90, 120], 3.16: [3.16, 3.16, 12.3, 90, 90, 120]}
CRYSTALS = {
    "silicon": bulk("Si"),
    "silicon, three times the volume": bulk("Si", a=5.43 * 3 ** (1 / 3)),
    "caesium": bulk("Cs", "bcc", a=6.14),
    "xenon": bulk("Xe", "fcc", a=6.2),
    "helium": bulk("He", "fcc", a=4.24),
    "radon": bulk("Rn", "fcc", a=6.6),
    "polonium": bulk("Po", "sc", a=3.35),
    "hydrogen": crystal(["H"], [(1 / 3, 2 / 3, 0.31)], spacegroup=194, cellpar=HEXAGONAL[3.77]),
    "graphite": Graphite("C", latticeconstant={"a": 2.46, "c": 6.70}),
    "graphite, expanded": Graphite("C", latticeconstant={"a": 2.46, "c": 9.0}),
    "MoS2": crystal(
        ["Mo", "S"],
        [(1 / 3, 2 / 3, 0.25), (1 / 3, 2 / 3, 0.621)],
        spacegroup=194,
        cellpar=HEXAGONAL[3.16],
    ),
    "sodalite": crystal(
        ["Si", "O"],
        [(0.25, 0.5, 0), (0.1544, 0.1544, 0.5)],
        spacegroup=229,
        cellpar=[8.88] * 3 + [90] * 3,
    ),
    "methane": crystal(["C"], [(0, 0, 0)], spacegroup=225, cellpar=[5.84] * 3 + [90] * 3),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_crystal_has_none(name):
    assert vacuum_of(CRYSTALS[name]) is None
    assert vacuum_of(CRYSTALS[name] * (1, 1, 2)) is None


def test_a_zeolite_with_a_cage_has_none():
    """Faujasite's supercage is 11 Å wide."""
    sites = [
        (0.1254, 0.9468, 0.0363),
        (0.1073, 0.8927, 0),
        (0.1742, 0.1742, 0.9680),
        (0.1783, 0.1783, 0.3225),
        (0.2526, 0.2526, 0.1435),
    ]
    assert (
        vacuum_of(
            crystal(
                ["Si", *"OOOO"], sites, spacegroup=227, setting=2, cellpar=[24.26] * 3 + [90] * 3
            )
        )
        is None
    )


VACUUM = {
    "slab": (slab(), "a slab", 12.0),
    "thin vacuum": (slab(4.0), "a slab", 8.0),
    "graphene": (graphene(vacuum=7.5), "a slab", 15.0),
    "layer": (mx2("MoS2", vacuum=7), "a slab", 14.0),
    "oblique slab": (make_supercell(slab(), [[1, 0, 0], [0, 1, 0], [1, 1, 1]]), "a slab", 12.0),
    "wire": (nanotube(5, 0, length=1, vacuum=6.0), "a wire", 12.0),
    "molecule": (boxed("CH4", 12), "a molecule or cluster", 12 - 2 * 0.629118),
    "hydrogen": (boxed("H2", 8), "a molecule or cluster", 8.0),
    "cluster": (boxed("C60", 20), "a molecule or cluster", None),
    "atom": (Atoms("Si", cell=[12] * 3, pbc=True), "a molecule or cluster", 12.0),
    "staggered": (
        Atoms("Si2", [[0] * 3, [7] * 3], cell=[14] * 3, pbc=True),
        "a molecule or cluster",
        7.0,
    ),
}


@pytest.mark.parametrize("name", VACUUM)
def test_a_vacuum_and_its_thickness(name):
    atoms, kind, thickness = VACUUM[name]
    atoms.pbc = True
    atoms.wrap()
    vacuum = vacuum_of(atoms)
    assert vacuum.kind == kind
    if thickness is not None:
        assert max(vacuum.thickness) == pytest.approx(thickness, abs=1e-3)
        assert f"{thickness:.1f} Å of vacuum along" in str(vacuum)
