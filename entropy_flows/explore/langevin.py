"""Langevin dynamics at constant volume of many cells at once.

Each cell has its own temperature and random numbers.

    dr = v dt,    dv = P [F/m − γ v] dt + P √(2 γ k_B T/m) dW    (1)

Scheme of Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006), which ASE has as
`ase.md.langevin`; of second order, and velocity Verlet at γ = 0. With independent normal numbers ξ
and η for each coordinate and step

    v½ = v + c₁ P F(r)/m − c₂ v + P R_v,     R_v = c₃ ξ − c₄ η          (2)
    r' = r + h v½ + P R_r,                   R_r = c₅ η                     (3)
    v' = v½ + c₁ P F(r')/m − c₂ v½ + P R_v                                  (4)

    c₁ = h/2 − h²γ/8,   c₂ = hγ/2 − h²γ²/8,   c₃ = √h σ/2 − h^{3/2} γσ/8
    c₅ = h^{3/2} σ/(2√3),   c₄ = γ c₅/2

=======  ===================================================================================
symbol   meaning
=======  ===================================================================================
h        time step;  γ friction;  σ = √(2 γ k_B T/m)
P        takes the motion of the centre of mass out: u → u − Σ m u / Σ m; a cell of one atom
         keeps it
ξ, η     from a stream of the trajectory's own seed, in blocks of steps with seeds of their own:
         what a step draws depends on the seed and the step alone, not on the batch, nor on
         where a resumed run started
=======  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import units
from ase.data import atomic_masses
from torch import Tensor

from entropy_flows.batch import Batch, Cells

BLOCK = 32
"""Steps whose random numbers are drawn together."""


class Langevin:
    """Integrate the equations of motion of a batch of cells.

    Parameters
    ----------
    cells
        The cells; their device is where everything happens.
    temperatures
        Temperature of each cell (K).
    seeds
        Seed of each cell's random numbers.
    timestep
        Time step h (fs).
    friction
        Friction γ (1/fs).
    """

    def __init__(
        self,
        cells: Cells,
        temperatures: Sequence[float],
        seeds: Sequence[int],
        timestep: float,
        friction: float,
    ) -> None:
        self.cells = cells
        self.temperatures = list(temperatures)
        self.seeds = list(seeds)
        self.timestep = timestep
        self.friction = friction
        h = timestep * units.fs
        gamma = friction / units.fs
        self.h = h
        self.masses = torch.from_numpy(atomic_masses[cells.numbers]).to(cells.device)[:, None]
        T = torch.tensor(self.temperatures, dtype=torch.float64, device=cells.device)
        kT = units.kB * T[cells.owner, None]
        self._spread = (kT / self.masses).sqrt()
        sigma = (2 * gamma * kT / self.masses).sqrt()
        self._kick = (h / 2 - h**2 * gamma / 8) / self.masses
        self.c2 = h * gamma / 2 - h**2 * gamma**2 / 8
        self.c3 = (h**0.5 / 2 - h**1.5 * gamma / 8) * sigma
        self.c5 = h**1.5 / (2 * 3**0.5) * sigma
        self.c4 = gamma / 2 * self.c5
        sizes = torch.tensor(cells.sizes, dtype=torch.float64, device=cells.device)
        freedom = torch.where(sizes > 1, 3 * sizes - 3, 3.0)
        self._heat = self.masses / (freedom * units.kB)[cells.owner, None]
        mass = cells.total(self.masses)
        share = torch.where(sizes[:, None] > 1, 1 / mass, torch.zeros_like(mass))
        self._share = self.masses * share[cells.owner]
        self._block = -1
        self._noise = torch.empty(0)
        self._forces = torch.empty(0)
        self._pushed = torch.empty(0)

    def take(self, chosen: Sequence[int], cells: Cells) -> Langevin:
        """Return the integrator of some of the cells."""
        temperatures = [self.temperatures[index] for index in chosen]
        seeds = [self.seeds[index] for index in chosen]
        return Langevin(cells, temperatures, seeds, self.timestep, self.friction)

    def velocities(self) -> Tensor:
        """Draw velocities (n, 3) of Maxwell and Boltzmann's distribution, in ASE's units."""
        draws = [_stream(seed, 0).standard_normal((size, 3)) for seed, size in self._streams()]
        normal = torch.from_numpy(np.concatenate(draws)).to(self.masses.device)
        return self.project(self._spread * normal)

    def first(self, batch: Batch, v: Tensor, forces: Tensor, step: int) -> tuple[Batch, Tensor]:
        """Do equations (2) and (3): return the batch after step number `step` ≥ 0, and v½."""
        half = self.second(v, forces, step)
        moved = torch.add(batch.positions + self._normal(step)[1], half, alpha=self.h)
        return batch.at(moved), half

    def second(self, half: Tensor, forces: Tensor, step: int) -> Tensor:
        """Do equation (4): return v'. Equation (2) is the same, from v."""
        kick = self._push(forces) + self._normal(step)[0]
        return torch.add(kick, half, alpha=1 - self.c2)

    def kinetic_energies(self, v: Tensor) -> Tensor:
        """Return ½ Σ m v² of each cell (B,) in eV."""
        return self.cells.total(0.5 * self.masses * v * v).sum(1)

    def instantaneous(self, v: Tensor) -> Tensor:
        """Return each cell's temperature (B,) in K; the centre of mass is no degree of freedom."""
        return self.cells.total(self._heat * v * v).sum(1)

    def project(self, u: Tensor) -> Tensor:
        """Return P u (…, n, 3): motion without that of the centre of mass."""
        return u - self.cells.total(self._share * u).index_select(-2, self.cells.owner)

    def _push(self, forces: Tensor) -> Tensor:
        """Return c₁ P F/m; a step ends with the forces with which the next one begins."""
        if forces is not self._forces:
            self._forces = forces
            self._pushed = self.project(self._kick * forces)
        return self._pushed

    def _normal(self, step: int) -> Tensor:
        """Return P R_v and P R_r of a step (2, n, 3), made for a block of steps at once."""
        block, index = divmod(step, BLOCK)
        if block != self._block:
            draws = [
                _stream(seed, block + 1).standard_normal((BLOCK, 2, size, 3))
                for seed, size in self._streams()
            ]
            noise = torch.from_numpy(np.concatenate(draws, axis=2)).to(self.masses.device)
            xi, eta = noise[:, 0], noise[:, 1]
            noise = torch.stack([self.c3 * xi - self.c4 * eta, self.c5 * eta], dim=1)
            self._noise = self.project(noise)
            self._block = block
        return self._noise[index]

    def _streams(self) -> list[tuple[int, int]]:
        """Return seed and number of atoms of each cell."""
        return list(zip(self.seeds, self.cells.sizes, strict=True))


def _stream(seed: int, block: int) -> np.random.Generator:
    """Return the random numbers of a block of steps; block 0 is for the first velocities."""
    return np.random.default_rng([seed, block])
