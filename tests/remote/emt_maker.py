"""A static Maker that stands for a program: it is not in memory, and says where it ran."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ase.calculators.emt import EMT
from jobflow import Maker, job
from pymatgen.core import Structure

from entropy_flows.geometry import to_atoms


@dataclass
class EmtMaker(Maker):
    name: str = "emt"

    @job
    def make(self, structure: Structure):
        atoms = to_atoms(structure)
        atoms.calc = EMT()
        log = os.environ.get("EMT_LOG")
        if log:
            with Path(log).open("a") as stream:
                stream.write(f"{os.environ.get('ENTROPY_FLOWS_URI', 'no database')}\n")
        output = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces().tolist(),
            # as atomate2 has it: kbar, positive under compression
            "stress": (-1602.1766208 * atoms.get_stress(voigt=False)).tolist(),
            "structure": structure,
        }
        return {"output": output}


static = EmtMaker()
