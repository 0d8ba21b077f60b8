"""The campaign file of `entropy-flows init --structure`: what the crystals say, and what is left to be chosen."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.neighborlist import neighbor_list
from pymatgen.core import Structure

from entropy_flows.explore.seed_files import read_structure
from entropy_flows.geometry import to_atoms
from entropy_flows.potentials import check_elements
from entropy_flows.vacuum import vacuum_of

BASE_MODEL = "SevenNet-0"
SMALLEST, LARGEST = 16, 64
"""Atoms of a seed, where the crystal's cell allows it."""
NEAREST_SHELLS = {"local_fingerprint": (1.3, 3.0), "global_fingerprint": (1.9, 4.5)}
"""Cutoff of a fingerprint: so many times the largest distance between nearest neighbours, and at
least so many Å.
"""
WIDEST_GAP = 6.0
"""Å between planes of atoms in a direction along which a slab or wire is repeated."""
SQUEEZED = 2.5
"""Atoms near an atom of the hottest and most squeezed cells, over those in the seeds."""

TEXT = """\
# A campaign of entropy_flows: `entropy-flows check campaign.yaml`, then `entropy-flows run campaign.yaml`.
# Units: Å, eV, GPa, K, fs. Every key left out keeps its default. Elements, supercells, cutoffs and natx were read off
# the structures; look at what is marked with CHOOSE.

name: {name}
elements: [{elements}]
seed: 42

# Drives the dynamics and is fine-tuned: a foundation model for most elements. Others: 7net-l3i5, a .nequip.zip file,
# nequip.net:mir-group/Allegro-OAM-L:0.1 (needs the network; with `train: {{preset: oam-l}}`).
base_model: {base_model}

phases:
{phases}
local_fingerprint: {{cutoff: {local_cutoff}, natx: {local_natx}}}    # Å; atoms within the cutoff at most
global_fingerprint: {{cutoff: {global_cutoff}, natx: {global_natx}}}

explore:
  temperatures: [300, 1000, 2000]  # K; CHOOSE: up to above the melting point
  entropy_weights: [2, 5, 10]      # k, eV
  pressures: {pressures}           # GPa, nominal; CHOOSE: up to half the bulk modulus{vacuum}
  steps: 300
  batch_size: 8

select:
  theta_min: 1.0e-3
  max_labels: 200                  # of one iteration, anchors included; CHOOSE

label:                             # CHOOSE: for a trial without DFT {{engine: forcefield, model: 7net-l3i5}}
  engine: vasp-pbe                 # see docs/labels.md; magnets need `spin: true`

train:
  preset: sevennet-0               # of the base model's kind

stop:
  max_iterations: 3
  label_budget: 600
"""


def own_campaign(name: str, paths: Sequence[Path]) -> str:
    """The text of a campaign file for crystals of one's own.

    Parameters
    ----------
    name
        The campaign's.
    paths
        Their files, which `copy_structures` puts beside the campaign file.

    Raises
    ------
    ValueError
        If a file cannot be read or used as a seed, two have one name, or the base model lacks an
        element.
    """
    _refuse_equal_names(paths)
    cells = [read_structure(path) for path in paths]
    elements = sorted(
        {str(element.symbol) for cell in cells for element in cell.composition.elements},
        key=_number,
    )
    check_elements(BASE_MODEL, elements, "base_model")
    seeds = [cell.make_supercell(_supercell(cell), in_place=False) for cell in cells]
    radius = max(_nearest_distance(seed) for seed in seeds)
    cutoffs = {
        key: max(least, round(shells * radius, 1))
        for key, (shells, least) in NEAREST_SHELLS.items()
    }
    natx = {key: max(_natx(seed, cutoff) for seed in seeds) for key, cutoff in cutoffs.items()}
    vacuum = any(vacuum_of(to_atoms(seed)) is not None for seed in seeds)
    return TEXT.format(
        name=name,
        elements=", ".join(
            json.dumps(element) if element == "No" else element for element in elements
        ),
        base_model=BASE_MODEL,
        phases="".join(
            _phase(path, cell, seed) for path, cell, seed in zip(paths, cells, seeds, strict=True)
        ),
        local_cutoff=cutoffs["local_fingerprint"],
        local_natx=natx["local_fingerprint"],
        global_cutoff=cutoffs["global_fingerprint"],
        global_natx=natx["global_fingerprint"],
        pressures="[0]" if vacuum else "[0, 5, 10]",
        vacuum="; a cell with a vacuum has none" if vacuum else "",
    )


def copy_structures(paths: Sequence[Path], folder: Path) -> None:
    """Copy the files beside the campaign file; those that are there already stay."""
    for path in paths:
        target = folder / path.name
        if not target.exists() or not target.samefile(path):
            if target.exists():
                raise ValueError(f"{target} exists; choose another folder")
            shutil.copyfile(path, target)


def _refuse_equal_names(paths: Sequence[Path]) -> None:
    for names in ([path.name for path in paths], [_phase_name(path) for path in paths]):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two structures have the name {twice[0]!r}; rename one of the files")


def _phase_name(path: Path) -> str:
    """A file's name without what tells its format."""
    name = re.sub(r"(\.(gz|bz2|xz))?$", "", path.name)
    stem = re.sub(
        r"\.(cif|vasp|poscar|xyz|extxyz|json|xml|xsf|res)$", "", name, flags=re.IGNORECASE
    )
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", stem)


def _phase(path: Path, cell: Structure, seed: Structure) -> str:
    lines = [
        f"  - name: {json.dumps(_phase_name(path))}",
        f"    file: {json.dumps(path.name, ensure_ascii=False)}",
        f"    supercell: {list(_supercell(cell))}           # {len(seed)} atoms",
    ]
    if len(seed) > LARGEST:
        lines.append(f"    max_atoms: {len(seed)}")
    return "\n".join(lines) + "\n"


def _supercell(cell: Structure) -> tuple[int, int, int]:
    """Repetitions of the shortest lattice vectors until there are enough atoms; none along a vacuum."""
    counts = np.ones(3, dtype=int)
    atoms = to_atoms(cell)
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    vacuum = vacuum_of(atoms)
    repeated = np.ones(3, dtype=bool) if vacuum is None else np.array(vacuum.thickness) < WIDEST_GAP
    while len(cell) * counts.prod() < SMALLEST and repeated.any():
        shortest = int(np.argmin(np.where(repeated, counts * heights, np.inf)))
        if len(cell) * counts.prod() * (counts[shortest] + 1) / counts[shortest] > LARGEST:
            break
        counts[shortest] += 1
    first, second, third = counts.tolist()
    return first, second, third


def _nearest_distance(cell: Structure) -> float:
    """Largest distance (Å) of an atom to its nearest neighbour; of a single atom in a vacuum 3 Å."""
    atoms = to_atoms(cell)
    centres, distances = neighbor_list("id", atoms, 7.0)
    nearest = [
        distances[centres == index].min() for index in range(len(atoms)) if (centres == index).any()
    ]
    return float(max(nearest, default=3.0))


def _natx(cell: Structure, cutoff: float) -> int:
    """Atoms within a cutoff, when the cell is squeezed and hot; a multiple of ten."""
    count = np.bincount(neighbor_list("i", to_atoms(cell), cutoff), minlength=1).max() + 1
    return int(np.ceil(SQUEEZED * count / 10) * 10)


def _number(symbol: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers[symbol])
