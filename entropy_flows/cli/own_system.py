"""Write the campaign file of `entropy-flows init --structure`.

It has what the crystals say, and marks what is left to be chosen.
"""

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
from entropy_flows.vacuum import repetitions, vacuum_of

BASE_MODEL = "SevenNet-0"
MIN_ATOMS = 16
MAX_ATOMS = 64
"""Atoms of a seed, at least and at most, where the crystal's cell allows it."""
CUTOFFS = {"local_fingerprint": (1.3, 3.0), "global_fingerprint": (1.9, 4.5)}
"""Cutoff of a fingerprint → multiple of the largest nearest-neighbour distance, and minimum (Å)."""
SEARCH_RADIUS = 7.0
"""Distance (Å) within which nearest neighbours are searched."""
COMPRESSION = 2.5
"""Neighbours of an atom in the hottest and most compressed cells, over those in the seeds."""

TEXT = """\
# A campaign of entropy_flows: `entropy-flows check campaign.yaml`, then
# `entropy-flows run campaign.yaml`. Units: Å, eV, GPa, K, fs. Every key left out keeps its default.
# Elements, supercells, cutoffs and natx were read off the structures; look at what is marked with
# CHOOSE.

name: {name}
elements: [{elements}]
seed: 42

# Drives the dynamics and is fine-tuned: a foundation model for most elements. Others: 7net-l3i5, a
# .nequip.zip file, nequip.net:mir-group/Allegro-OAM-L:0.1 (needs the network; with
# `train: {{preset: oam-l}}`). A small, fast model of it: `entropy-flows student campaign.yaml`.
base_model: {base_model}

phases:
{phases}
# cutoff in Å; natx: atoms within the cutoff, at most
local_fingerprint: {{cutoff: {local_cutoff}, natx: {local_natx}}}
global_fingerprint: {{cutoff: {global_cutoff}, natx: {global_natx}}}

explore:
  temperatures: [300, 1000, 2000]  # K; CHOOSE: up to above the melting point
  entropy_weights: [0, 0, 0, 0, 2, 5, 10]   # k, eV; 0 is plain dynamics, the target below
  pressures: {pressures}           # GPa, nominal; CHOOSE: up to half the bulk modulus{vacuum}
  steps: 300
  batch_size: 8

select:
  selector: herding                # makes the labels like the target: plain dynamics,
  target: plain                    # or a file of frames that your simulations will be like
  max_labels: 200                  # of one iteration; CHOOSE
anchors: {{fraction: 0}}             # plain dynamics has near-equilibrium cells

# Wang 2026 by the letter, in place of the two above and with entropy_weights: [2, 5, 10]:
# select: {{selector: logdet, theta_min: 1.0e-3, max_labels: 200}}
# anchors: {{fraction: 0.2, max_force: 2.0}}

# CHOOSE; for a trial without DFT {{engine: forcefield, model: 7net-l3i5}}
label:
  engine: vasp-pbe                 # see docs/labels.md; magnets need `spin: true`

train:
  preset: sevennet-0               # of the base model's kind

stop:
  max_iterations: 3
  label_budget: 600
"""


def own_campaign(name: str, paths: Sequence[Path]) -> str:
    """Write the text of a campaign file for crystals of the user's own.

    Parameters
    ----------
    name
        The campaign's name.
    paths
        Files of the crystals, which `copy_structures` puts beside the campaign file.

    Raises
    ------
    ValueError
        If a file cannot be read or used as a seed, two have one name, or the base model lacks an
        element.
    """
    _refuse_equal_names(paths)
    cells = [read_structure(path) for path in paths]
    symbols = {element.symbol for cell in cells for element in cell.composition.elements}
    elements = sorted(map(str, symbols), key=_number)
    check_elements(BASE_MODEL, elements, "base_model")
    seeds = [cell.make_supercell(_supercell(cell), in_place=False) for cell in cells]
    radius = max(_nearest_distance(seed) for seed in seeds)
    cutoffs = {}
    natx = {}
    for key, (multiple, minimum) in CUTOFFS.items():
        cutoffs[key] = max(minimum, round(multiple * radius, 1))
        natx[key] = max(_natx(seed, cutoffs[key]) for seed in seeds)
    phases = [
        _phase(path, cell, seed) for path, cell, seed in zip(paths, cells, seeds, strict=True)
    ]
    has_vacuum = any(vacuum_of(to_atoms(seed)) is not None for seed in seeds)
    return TEXT.format(
        name=name,
        elements=", ".join(map(_yaml_element, elements)),
        base_model=BASE_MODEL,
        phases="".join(phases),
        local_cutoff=cutoffs["local_fingerprint"],
        local_natx=natx["local_fingerprint"],
        global_cutoff=cutoffs["global_fingerprint"],
        global_natx=natx["global_fingerprint"],
        pressures="[0]" if has_vacuum else "[0, 5, 10]",
        vacuum="; a cell with a vacuum has none" if has_vacuum else "",
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
    """Refuse files, or phases, of the same name."""
    for names in ([path.name for path in paths], [_phase_name(path) for path in paths]):
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(
                f"two structures have the name {duplicates[0]!r}; rename one of the files"
            )


def _phase_name(path: Path) -> str:
    """Return a file's name without the endings of its format."""
    name = re.sub(r"(\.(gz|bz2|xz))?$", "", path.name)
    formats = r"\.(cif|vasp|poscar|xyz|extxyz|json|xml|xsf|res)$"
    stem = re.sub(formats, "", name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", stem)


def _phase(path: Path, cell: Structure, seed: Structure) -> str:
    """Write the entry of a phase."""
    lines = [
        f"  - name: {json.dumps(_phase_name(path))}",
        f"    file: {json.dumps(path.name, ensure_ascii=False)}",
        f"    supercell: {list(_supercell(cell))}           # {len(seed)} atoms",
    ]
    if len(seed) > MAX_ATOMS:
        lines.append(f"    max_atoms: {len(seed)}")
    return "\n".join(lines) + "\n"


def _supercell(cell: Structure) -> tuple[int, int, int]:
    """Repeat the shortest lattice vectors until there are enough atoms; never along a vacuum."""
    return repetitions(to_atoms(cell), MIN_ATOMS, MAX_ATOMS)


def _nearest_distance(cell: Structure) -> float:
    """Return the largest distance (Å) of an atom to its nearest neighbour.

    That of a single atom in a vacuum is 3 Å.
    """
    atoms = to_atoms(cell)
    centres, distances = neighbor_list("id", atoms, SEARCH_RADIUS)
    nearest = [
        distances[centres == index].min() for index in range(len(atoms)) if (centres == index).any()
    ]
    return float(max(nearest, default=3.0))


def _natx(cell: Structure, cutoff: float) -> int:
    """Return the atoms within a cutoff when the cell is compressed and hot; a multiple of ten."""
    centres = neighbor_list("i", to_atoms(cell), cutoff)
    count = np.bincount(centres, minlength=1).max() + 1
    return int(np.ceil(COMPRESSION * count / 10) * 10)


def _yaml_element(symbol: str) -> str:
    """Write an element for YAML, which takes nobelium's symbol for a false."""
    return json.dumps(symbol) if symbol == "No" else symbol


def _number(symbol: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers[symbol])
