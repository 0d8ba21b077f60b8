"""A label engine: the Lennard-Jones potential, as the reference that a model is trained on.

E = Σ_(i<j) 4ε [(σ/r_ij)¹² − (σ/r_ij)⁶]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from atomate2.ase.jobs import AseRelaxMaker
from pydantic import Field

from entropy_flows.label import Engine, LabelParams
from entropy_flows.label.engines.maker import MakerEngine


class LennardJonesParams(LabelParams):
    """A Lennard-Jones potential."""

    engine: str = "lennard-jones"
    """Names this engine."""
    epsilon: float = Field(1.0, gt=0)
    """Depth ε of the well (eV)."""
    sigma: float = Field(1.0, gt=0)
    """Distance σ at which two atoms have no energy (Å)."""

    def make_maker(self) -> LennardJonesMaker:
        """Build the static Maker, which the jobs carry to their worker."""
        return LennardJonesMaker(epsilon=self.epsilon, sigma=self.sigma)


@dataclass
class LennardJonesMaker(AseRelaxMaker):
    """Make one job of one structure."""

    name: str = "Lennard-Jones"
    steps: int = 1  # a single point, in atomate2's words
    relax_cell: bool = False
    epsilon: float = 1.0
    sigma: float = 1.0

    def _get_calculator(self) -> Calculator:
        return LennardJones(epsilon=self.epsilon, sigma=self.sigma, rc=3 * self.sigma, smooth=True)

    def as_engine(self) -> Engine:
        """Return what is known of this engine."""
        return LennardJonesEngine(self)


class LennardJonesEngine(MakerEngine):
    """What the package asks; `MakerEngine` answers what is not said here."""

    in_memory = True
    maker: LennardJonesMaker

    @property
    def name(self) -> str:
        """Name for people."""
        return "Lennard-Jones"

    @property
    def has_spin(self) -> bool:
        """False: moments decide nothing."""
        return False

    def hash_input(self) -> dict[str, Any]:
        """Return all that decides the numbers."""
        return {"code": "LJ", "epsilon": self.maker.epsilon, "sigma": self.maker.sigma}

    def calculator(self) -> Calculator:
        """Return the calculator, for checks of the physics."""
        return self.maker.calculator
