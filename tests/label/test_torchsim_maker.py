"""atomate2's Maker of torch-sim's models as a label engine; `make test-torchsim`."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from entropy_flows.geometry import to_structure
from entropy_flows.label import engine_of
from entropy_flows.label.run import label_batch

pytest.importorskip("torch_sim")
core = pytest.importorskip("atomate2.torchsim.core")
SIGMA, EPSILON, CUTOFF = 2.2, 0.1, 5.0


def test_its_labels_are_those_of_the_potential(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import torch

    arguments = {"sigma": SIGMA, "epsilon": EPSILON, "cutoff": CUTOFF, "dtype": torch.float64}
    arguments |= {"compute_forces": True, "compute_stress": True}
    maker = core.TorchSimStaticMaker(core.TorchSimModelType.LENNARD_JONES, "", arguments)
    rng = np.random.default_rng(0)
    cells = []
    for number in range(6):
        atoms = bulk("Ar", a=3.6 + 0.05 * number, cubic=True).repeat((1, 1, 1 + number % 2))
        atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
        cells.append(atoms)
    labels = list(label_batch(maker, list(map(to_structure, cells))))
    assert engine_of(maker).name.startswith("LennardJonesModel")
    for label, atoms in zip(labels, cells, strict=True):
        assert label.converged, label.evidence
        atoms.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=CUTOFF, smooth=False)
        np.testing.assert_allclose(label.forces, atoms.get_forces(), atol=1e-8)
        np.testing.assert_allclose(label.stress, atoms.get_stress(voigt=False), atol=1e-8)
