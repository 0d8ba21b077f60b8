"""The two biased potential energy surfaces, as ASE calculators over any other.

    E_explore = E_base − k S_local                                                               (1)
    E_refine  = E_base − k log det Σ(D ∪ {x})    or    E_base − k log gain(x)                    (2)
    F = F_base + k ∂B/∂r,    σ = σ_base − (k/V) ∂B/∂ε    with B the factor of −k                 (3)

=======  ============================================================================
symbol   meaning
=======  ============================================================================
k        strength of the bias, eV; may be changed between calls, as a ramp does
S_local  local entropy of the cell
D ∪ {x}  the dataset with this cell added
gain     what the cell takes off the unknown of a target (`target_bias`)
V, ε     volume, strain of atoms and cell alike
=======  ============================================================================
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from entropy_flows.batch import Batch
from entropy_flows.conventions import to_voigt
from entropy_flows.entropy.bias import Bias, GlobalBias, LocalBias
from entropy_flows.entropy.local import FLOOR
from entropy_flows.entropy.moments import Mode
from entropy_flows.entropy.statistics import SufficientStatistics
from entropy_flows.entropy.target_bias import TargetBias
from entropy_flows.entropy.variance_statistics import VarianceStatistics
from entropy_flows.fingerprints import Fingerprint


class BiasedSurface(Calculator):
    """E_base − k B, which both surfaces are.

    Besides ASE's properties, `results` holds "base_energy", "base_forces" and the bias's measure by
    its name. With k = 0 the fingerprints are left alone, and the measure is computed only if it is
    asked for by name: `calculator.get_property("entropy", atoms)`. Stress needs a periodic cell and
    a base calculator that has it.
    """

    def __init__(self, base: Calculator, bias: Bias, k: float, mode: Mode = "atom") -> None:
        super().__init__()
        self.base = base
        self.bias = bias
        self._modes = (mode,)
        self.k = k
        optional = ["stress"] if "stress" in base.implemented_properties else []
        self.implemented_properties = [
            "energy",
            "free_energy",
            "forces",
            *optional,
            "base_energy",
            "base_forces",
            bias.name,
        ]

    @property
    def k(self) -> float:
        """Strength of the bias in eV; positive seeks entropy."""
        return self._k

    @k.setter
    def k(self, k: float) -> None:
        if not np.isfinite(k):
            raise ValueError(f"k is {k}; it must be a finite energy in eV")
        self._k = float(k)
        self.reset()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results`: the base calculator's, then the bias on top."""
        super().calculate(atoms, properties, system_changes)
        requested = properties or ["energy"]
        current = self._current()
        self.results = self._base_results(current, "stress" in requested)
        if self.k == 0:
            if self.bias.name in requested:
                self.results[self.bias.name] = float(
                    self.bias.measure(self._batch(current), self._modes)[0]
                )
            return
        bias = self.bias(self._batch(current), self._modes)
        value = float(bias.value[0])
        gradient = bias.gradient.cpu().numpy()
        strain = bias.strain[0].cpu().numpy()
        self.results[self.bias.name] = float(bias.measure[0])
        self.results["energy"] -= self.k * value
        self.results["free_energy"] -= self.k * value
        self.results["forces"] = self.results["forces"] + self.k * gradient
        if "stress" in self.results:
            bias_stress = self.k / current.get_volume() * to_voigt(strain)
            self.results["stress"] = self.results["stress"] - bias_stress

    def _batch(self, atoms: Atoms) -> Batch:
        return Batch.of([atoms], self.bias.fingerprint.device)

    def _current(self) -> Atoms:
        if self.atoms is None:
            raise ValueError("the calculator has no atoms yet")
        return self.atoms

    def _base_results(self, atoms: Atoms, stress: bool) -> dict[str, Any]:
        """Compute energy and forces, and stress if it is asked for or at hand."""
        base = self.base
        energy = float(base.get_property("energy", atoms))
        forces = np.array(base.get_property("forces", atoms))
        results = {"energy": energy, "base_energy": energy, "forces": forces, "base_forces": forces}
        periodic = atoms.pbc.any() and atoms.cell.rank == 3
        if periodic and stress and "stress" in base.implemented_properties:
            results["stress"] = np.array(base.get_property("stress", atoms))
        elif periodic and "stress" in base.results:
            results["stress"] = np.array(base.results["stress"])
        results["free_energy"] = float(base.results.get("free_energy", energy))
        return results


class ExploreSurface(BiasedSurface):
    """E_base − k S_local, equation (1): drives molecular dynamics.

    Parameters
    ----------
    base
        Calculator of the unbiased energy.
    fingerprint
        Fingerprint of the local entropy; Wang 2026 has a cutoff of 3.0 Å.
    k
        eV.
    floor
        Floor δ₀ of `local_entropy`.
    """

    def __init__(
        self, base: Calculator, fingerprint: Fingerprint, k: float, *, floor: float = FLOOR
    ) -> None:
        super().__init__(base, LocalBias(fingerprint, floor), k)


class RefineSurface(BiasedSurface):
    """E_base − k B with the data set's B, equation (2): drives the refinement of candidates.

    Parameters
    ----------
    base
        Calculator of the unbiased energy.
    fingerprint
        Fingerprint of the dataset.
    statistics
        The dataset D, referred to, not copied: cells added to it change the surface. B is log det Σ
        of `SufficientStatistics`, the logarithm of the gain of `VarianceStatistics`.
    k
        eV.
    gradient
        "exact": the derivative of the energy. "paper": the printed force formula, which treats N, μ
        and Σ as if the candidate did not move them; forces and stress then are not the derivative
        of the energy, by a factor that is large while the dataset is small, and a line search may
        fail.
    """

    def __init__(
        self,
        base: Calculator,
        fingerprint: Fingerprint,
        statistics: SufficientStatistics | VarianceStatistics,
        k: float,
        *,
        gradient: Literal["exact", "paper"] = "exact",
    ) -> None:
        self.statistics = statistics
        if isinstance(statistics, VarianceStatistics):
            super().__init__(base, TargetBias(fingerprint, statistics), k)
        else:
            mode = statistics.mode
            super().__init__(base, GlobalBias(fingerprint, {mode: statistics}, gradient), k, mode)

    def reset(self) -> None:
        """Forget results."""
        super().reset()
        self._seen = self.statistics.n

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """List what changed since the last calculation; the dataset may have, too."""
        changes = super().check_state(atoms, tol=tol)
        return changes if self.statistics.n == self._seen else [*changes, "statistics"]
