"""The labelled cells of a system's pools: read once, drawn from for trainings, and held out.

Each pool is a file, so that trainings need no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ase import Atoms
from ase.io import iread, write
from campaigns import BASELINES, LOGDET, POOL_SEEDS, RANDOM, RULES, SystemPools
from shared import campaign_file

from entropy_flows.evaluate.curve import draw, draw_mixed
from entropy_flows.files import replacing
from entropy_flows.jobs.curve import SELECTED, near_equilibrium
from entropy_flows.launch.session import open_session
from entropy_flows.store import CampaignStore

MIXED = "mixed"
INDEPENDENT = "independent"
FIRST = {f"{rule}-first": rule for rule in RULES}
"""Kind of training set that is the beginning of a rule's pool, in the order of its choices → rule.
A part of a pool that is drawn at random is not what the rule would have chosen of that number."""
METHODS = (*RULES, *BASELINES, MIXED, *FIRST)
"""Kinds of training sets. Of a pool's name: so many cells of it, drawn at random.
mixed: four fifths of log det, one of the baseline's near-equilibrium cells."""
HELD_OUT = (*RULES, *BASELINES)
"""Pools of which a tenth is held out of all trainings, as a test of all models."""
NEAR_SHARE = 0.2
CONDITION = ("phase", "temperature", "pressure", "k")


@dataclass(frozen=True)
class PoolCells:
    """The labelled cells of a system.

    Attributes
    ----------
    frames
        Cells with energy, forces and stress. `info` has pool, pool_seed, split, condition and the
        index in this list.
    max_force
        Largest force (eV/Å) of the baseline's cells in the mixed pool.
    """

    frames: list[Atoms]
    max_force: float

    @classmethod
    def load(cls, files: Sequence[Path], max_force: float) -> PoolCells:
        """Read the files of `write_pools`."""
        frames: list[Atoms] = []
        for file in files:
            frames += iread(file)
        for index, atoms in enumerate(frames):
            atoms.info["index"] = index
        return cls(frames, max_force)

    def has(self, method: str, seed: int) -> bool:
        """Return whether the cells are there that a method's models of a seed are trained on."""
        pools = (LOGDET, RANDOM) if method == MIXED else (FIRST.get(method, method),)
        return all(self.cells(pool, seed, "train") for pool in pools)

    def cells(self, pool: str, seed: int | None, split: str | None) -> list[Atoms]:
        """Return a pool's cells, of one seed or of all, of one split or of all."""
        return [
            atoms
            for atoms in self.frames
            if atoms.info["pool"] == pool
            and seed in (None, atoms.info["pool_seed"])
            and split in (None, atoms.info["split"])
        ]

    def training(
        self, method: str, pool_seed: int, size: int, seed: int
    ) -> tuple[list[Atoms], list[Atoms]]:
        """Draw cells to train on; return them and the pool's validation cells.

        Raises
        ------
        ValueError
            If the pool has too few.
        """
        if method in FIRST:
            rule = FIRST[method]
            return self.first(rule, pool_seed, size), self.cells(rule, pool_seed, "val")
        if method != MIXED:
            train = self.cells(method, pool_seed, "train")
            return draw(train, size, seed), self.cells(method, pool_seed, "val")
        near = {
            split: near_equilibrium(self.cells(RANDOM, pool_seed, split), self.max_force)
            for split in ("train", "val")
        }
        train = self.cells(LOGDET, pool_seed, "train")
        val = self.cells(LOGDET, pool_seed, "val")
        number = round(NEAR_SHARE / (1 - NEAR_SHARE) * len(val))
        cells = draw_mixed(train, near["train"], size, NEAR_SHARE, seed)
        return cells, val + near["val"][:number]

    def first(self, rule: str, pool_seed: int, size: int) -> list[Atoms]:
        """Return the cells of a pool that were chosen first, but for those that are held out.

        Raises
        ------
        ValueError
            If the pool has too few.
        """
        cells = self.cells(rule, pool_seed, "train")
        if size > len(cells):
            raise ValueError(f"{rule} has {len(cells)} cells to train on, {size} are wanted")
        return cells[:size]

    def tests(self) -> dict[str, list[Atoms]]:
        """Return the tests: what is held out of each pool, and the independent test.

        No model has seen any of them, of whatever pool it is.
        """
        tests = {
            test_name(pool, seed): self.cells(pool, seed, "test")
            for pool in HELD_OUT
            for seed in POOL_SEEDS
        }
        tests[INDEPENDENT] = self.cells(INDEPENDENT, None, None)
        return {name: cells for name, cells in tests.items() if cells}


def test_name(pool: str, seed: int) -> str:
    """Return the name of what is held out of a pool."""
    return f"{pool}-{seed}"


def pool_files(folder: Path) -> dict[tuple[str, int], Path]:
    """Return the file of each pool in a system's folder."""
    names = [(INDEPENDENT, POOL_SEEDS[0]), *product(HELD_OUT, POOL_SEEDS)]
    return {name: folder / "pools" / f"{test_name(*name)}.extxyz" for name in names}


def write_pools(system: str, folder: Path) -> list[Path]:
    """Write the labelled cells of each pool that has ended; return the files that are there."""
    files = pool_files(folder)
    if not all(file.is_file() for file in files.values()):
        (folder / "pools").mkdir(exist_ok=True)
        with open_session(campaign_file(system), folder) as session:
            pools = SystemPools(session)
            for pool, seed, name in pool_names(pools):
                if pools.is_done(name) and not files[pool, seed].is_file():
                    with replacing(files[pool, seed]) as part:
                        frames = pool_frames(session.store.of(name), pool, seed)
                        write(part, frames, format="extxyz")
    return [file for file in files.values() if file.is_file()]


def pool_names(pools: SystemPools) -> Iterator[tuple[str, int, str]]:
    """Yield kind, seed and campaign of each pool; the independent test has the first seed."""
    yield INDEPENDENT, POOL_SEEDS[0], pools.independent.name
    for seed in POOL_SEEDS:
        for rule in RULES:
            yield rule, seed, pools.rule(rule, seed).name
        for kind in BASELINES:
            yield kind, seed, pools.baseline(kind, seed).name


def pool_frames(store: CampaignStore, pool: str, seed: int) -> list[Atoms]:
    """Return a pool's good labels."""
    frames = store.frames(**SELECTED)
    for atoms in frames:
        info = {"pool": pool, "pool_seed": seed, "split": atoms.info.get("split") or "none"}
        names = [name for name in CONDITION if name in atoms.info]
        atoms.info = info | {name: atoms.info[name] for name in names}
    return frames
