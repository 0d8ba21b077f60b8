"""A data set for pacemaker (ACE): its dataframe and an input file as in Subramanyam 2025.

    energy_corrected = energy − Σ_s n_s e_s      e_s: energies of the atoms, 0 where none are given

Weights are pacemaker's EnergyBasedWeightingPolicy, of ΔE = E/N − min E/N:

    w ∝ 1/(ΔE + DE)², then scaled so that cells with ΔE < DElow have the share wlow of all;
    forces: the same, times 1/(|F|² + DF);        dropped: ΔE ≥ DEup, or an atom with |F| > DFup

The numbers are those of the paper's supplement (S5), which has one input for all its elements and a
few lines that differ. An element that is not among them gets those of tungsten's thresholds, its
cutoff of 6 Å, and pacemaker's own choice of core repulsion (`repulsion: auto`), as do alloys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from entropy_flows.formats.labelled import Labelled
from entropy_flows.params import Params

DATA = "data.pckl.gzip"
INPUT = "input.yaml"

CORES: dict[str, dict[str, float]] = {
    "Be": {"r_in": 1.0, "delta_in": 0.25, "repulsion": 5000.0, "rho": 50000, "drho": 27},
    "C": {"r_in": 0.9, "delta_in": 0.2, "repulsion": 5000.0, "rho": 50000, "drho": 27},
    "Al": {"r_in": 1.0, "delta_in": 0.25, "repulsion": 5000.0, "rho": 50000, "drho": 27},
    "W": {"r_in": 1.5, "delta_in": 0.5, "repulsion": 35000.0, "rho": 20000, "drho": 270},
    "Re": {"r_in": 1.5, "delta_in": 0.5, "repulsion": 35000.0, "rho": 20000, "drho": 270},
    "Os": {"r_in": 1.5, "delta_in": 0.5, "repulsion": 35000.0, "rho": 20000, "drho": 270},
}
"""Short-range repulsion of the paper's elements."""
CUTOFFS = {"Be": 4.5, "C": 5.5, "Al": 5.5}
DE_LOW = {"C": 3.0}
DE_UP = {"Be": 10.0, "C": 10.0, "Al": 10.0, "Os": 40.0}
DF_UP = {"Be": 20.0, "C": 25.0, "Al": 20.0}


class PacemakerParams(Params):
    """Settings of a pacemaker fit; None takes the number of Subramanyam 2025 for the element."""

    cutoff: float | None = Field(None, gt=0)
    """Å; 6.0 where the paper has none."""
    low: float | None = Field(None, gt=0)
    """DElow in eV/atom; 2.0, for carbon 3.0."""
    up: float | None = Field(None, gt=0)
    """DEup in eV/atom: cells above are dropped; 10 to 40, 20 where the paper has none."""
    force_up: float | None = Field(None, gt=0)
    """DFup in eV/Å: cells with a larger force are dropped; 20 to 100, 100 where the paper has
    none.
    """
    low_share: float = Field(0.75, gt=0, le=1)
    """wlow."""
    force_share: float = Field(0.1, ge=0, le=1)
    """kappa: weight of the forces; energies have the rest."""
    most: int = Field(10_000, ge=1)
    """nfit: cells drawn at most."""
    test_share: float = Field(0.2, ge=0, lt=1)
    """Share that pacemaker tests with."""
    seed: int = Field(42, ge=0)
    """Of these draws."""
    atom_energies: dict[str, float] = Field(default_factory=dict)
    """e_s in eV by symbol."""


def write_pacemaker(
    frames: Sequence[Labelled], folder: Path, params: PacemakerParams | None = None
) -> None:
    """Write data.pckl.gzip and input.yaml; `pacemaker input.yaml` in the folder fits.

    Raises
    ------
    ValueError
        If pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise ValueError("pacemaker's format needs pandas: pip install 'entropy_flows[export]'")
    import pandas as pd

    params = params or PacemakerParams()
    columns: dict[str, list[Any]] = {
        "ase_atoms": [frame.atoms for frame in frames],
        "energy": [frame.energy for frame in frames],
        "forces": [frame.forces for frame in frames],
        "energy_corrected": [
            frame.energy - _of_atoms(frame, params.atom_energies) for frame in frames
        ],
    }
    table = pd.DataFrame(columns)
    table.columns = pd.Index(
        list(columns), dtype=object
    )  # older pandas do not read the newer ones' strings
    folder.mkdir(parents=True, exist_ok=True)
    table.to_pickle(folder / DATA, compression="gzip", protocol=4)
    elements = sorted({symbol for frame in frames for symbol in frame.atoms.get_chemical_symbols()})
    text = yaml.safe_dump(
        pacemaker_input(elements, params), sort_keys=False, default_flow_style=None, width=100
    )
    (folder / INPUT).write_text(text)


def _of_atoms(frame: Labelled, energies: Mapping[str, float]) -> float:
    """Return Σ_s n_s e_s in eV, the energy of the atoms alone."""
    counts = Counter(frame.atoms.get_chemical_symbols())
    return sum(count * energies.get(symbol, 0.0) for symbol, count in counts.items())


def pacemaker_input(elements: Sequence[str], params: PacemakerParams) -> dict[str, Any]:
    """Build the input file of Subramanyam 2025, S5."""
    element = elements[0] if len(elements) == 1 else ""
    cutoff = params.cutoff or CUTOFFS.get(element, 6.0)
    data: dict[str, Any] = {"filename": DATA}
    if params.test_share:
        data["test_size"] = params.test_share
    fit: dict[str, Any] = {
        "loss": _loss(params),
        "weighting": _weighting(element, params),
        "optimizer": "BFGS",
        "maxiter": 800,
        "fit_cycles": 1,
        "noise_relative_sigma": 1e-4,
        "ladder_step": [10, 0.1],
        "ladder_type": "power_order",
    }
    if element not in CORES:
        fit["repulsion"] = "auto"
    return {
        "cutoff": cutoff,
        "seed": params.seed,
        "data": data,
        "potential": _basis(elements, cutoff, CORES.get(element)),
        "fit": fit,
        "backend": {"evaluator": "tensorpot", "batch_size": 1000},
    }


def _weighting(element: str, params: PacemakerParams) -> dict[str, Any]:
    """Build the weights of cells and forces; see the module's formulas."""
    return {
        "type": "EnergyBasedWeightingPolicy",
        "nfit": params.most,
        "DElow": params.low or DE_LOW.get(element, 2.0),
        "DEup": params.up or DE_UP.get(element, 20.0),
        "DFup": params.force_up or DF_UP.get(element, 100.0),
        "DE": 1.0,
        "DF": 1.0,
        "wlow": params.low_share,
        "reftype": "all",
        "seed": params.seed,
    }


def _loss(params: PacemakerParams) -> dict[str, float]:
    """Build the weights of forces and of the regularisation."""
    regularization = {"L1_coeffs": 1e-9, "L2_coeffs": 1e-11, "w1_coeffs": 1.0, "w2_coeffs": 1.0}
    radial = {"w0_rad": 1e-9, "w1_rad": 1e-9, "w2_rad": 1e-9}
    return {"kappa": params.force_share, **regularization, **radial}


def _basis(
    elements: Sequence[str], cutoff: float, core: Mapping[str, float] | None
) -> dict[str, Any]:
    """Build the basis, 387 functions for one element, as in Subramanyam 2025."""
    embedding: dict[str, Any] = {
        "ndensity": 2,
        "npot": "FinnisSinclairShiftedScaled",
        "fs_parameters": [1, 1, 1, 0.5],
    }
    bond: dict[str, Any] = {
        "rcut": cutoff,
        "dcut": 0.01,
        "NameOfCutoffFunction": "cos",
        "radbase": "SBessel",
    }
    bond["radparameters"] = [5.25]  # pacemaker's own number
    if core is not None:
        embedding |= {"rho_core_cut": core["rho"], "drho_core_cut": core["drho"]}
        bond |= {
            "r_in": core["r_in"],
            "delta_in": core["delta_in"],
            "core-repulsion": [core["repulsion"], 5.0],
        }
    functions = {
        "nradmax_by_orders": [20, 4, 4, 2, 1],
        "lmax_by_orders": [0, 3, 3, 1, 1],
        "coefs_init": "zero",
    }
    return {
        "deltaSplineBins": 0.001,
        "elements": list(elements),
        "embeddings": {"ALL": embedding},
        "bonds": {"ALL": bond},
        "functions": {"ALL": functions},
    }
