"""The report says where moments started, where they ended, and which turned over."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from entropy_flows.report.label_moments import moment_rows


def cell(start, end, phase="afm"):
    atoms = Atoms(
        "Ni2O2",
        positions=np.eye(4, 3),
        cell=[4] * 3,
        pbc=True,
        magmoms=start,
        info={"phase": phase},
    )
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1.0, **({} if end is None else {"magmoms": np.array(end)})
    )
    return atoms


def test_by_phase_and_element():
    frames = [
        cell([2, -2, 0, 0], [1.6, -1.4, 0.1, 0.0]),
        cell([2, -2, 0, 0], [1.6, 1.5, 0.0, 0.1]),  # has become ferromagnetic
        cell([2, -2, 0, 0], [0.1, 0.1, 0.0, 0.0], "squeezed"),
        cell([2, -2, 0, 0], None),
    ]
    assert moment_rows(frames) == [
        ["afm", "Ni", "4", "2.00", "1.52", "1.40", "1.60", "1"],
        ["afm", "O", "4", "0.00", "0.05", "0.00", "0.10", "0"],
        ["squeezed", "Ni", "2", "2.00", "0.10", "0.10", "0.10", "0"],
        ["squeezed", "O", "2", "0.00", "0.00", "0.00", "0.00", "0"],
    ]
    assert moment_rows(frames[-1:]) == []
