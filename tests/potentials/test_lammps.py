"""Files for LAMMPS hold the model: what LAMMPS would call gives ASE's energies and forces.

The program itself is not at hand with this interface, so its side is played here: pairs go in, and
energies of atoms and forces of pairs come out.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.neighborlist import neighbor_list
from cells import rattled
from small_models import small_sevennet

from entropy_flows.potentials import load_calculator, write_lammps

pytest.importorskip("lammps.mliap.mliap_unified_abc", exc_type=ImportError)

SI_SMALL = Path(__file__).parents[2] / "entropy_flows" / "models" / "si-small.nequip.zip"


class Pairs(SimpleNamespace):
    """The data that LAMMPS hands to a model, of a cell without ghost atoms."""

    def update_pair_forces_gpu(self, forces):
        self.pair_forces = forces.detach().numpy()


def test_an_allegro_for_lammps_is_the_one_of_ase(tmp_path):
    atoms = rattled("Si", repeat=2, seed=3)
    path = tmp_path / "si.nequip.lmp.pt"
    lines = write_lammps(SI_SMALL, path, ["Si"])
    assert lines == ["units metal", f"pair_style mliap unified {path} 0", "pair_coeff * * Si"]
    wrapper = torch.load(path, weights_only=False)
    wrapper.compile = False
    assert wrapper.element_types == ["Si"]
    first, second, vectors = neighbor_list("ijD", atoms, 2 * wrapper.rcutfac)
    data = Pairs(
        nlocal=len(atoms),
        ntotal=len(atoms),
        npairs=len(first),
        rij=vectors,
        pair_i=first,
        pair_j=second,
        elems=np.zeros(len(atoms), dtype=int),
        eatoms=np.zeros(len(atoms)),
    )
    wrapper.compute_forces(data)
    atoms.calc = load_calculator(SI_SMALL)
    assert float(data.energy) == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, first, data.pair_forces)
    np.add.at(forces, second, -data.pair_forces)
    assert forces == pytest.approx(atoms.get_forces(), abs=1e-4)


def test_a_sevennet_for_lammps_holds_its_weights(tmp_path):
    pytest.importorskip("sevenn")
    checkpoint = small_sevennet(tmp_path / "si-1.sevennet.pth")
    path = tmp_path / "si-1.sevennet.lmp.pt"
    assert write_lammps(checkpoint, path, ["Si"])[2] == "pair_coeff * * Si"
    expected = torch.load(checkpoint, weights_only=False)["model_state_dict"]
    checkpoint.unlink()
    wrapper = torch.load(path, weights_only=False)
    assert 2 * wrapper.rcutfac == 4.0
    assert {"Si", "X"} == set(wrapper.element_types)
    weights = wrapper.cp.build_model().state_dict()
    for name, value in expected.items():
        assert torch.equal(weights[name], value)


@pytest.mark.parametrize(
    ("model", "output", "message"),
    [
        (str(SI_SMALL), "si.pt", r"si\.pt must end in \.nequip\.lmp\.pt"),
        ("CHGNet", "x.pt", "the family chgnet have no form for LAMMPS"),
    ],
)
def test_what_lammps_cannot_have(model, output, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_lammps(model, tmp_path / output, ["Si"])
    assert not list(tmp_path.iterdir())
