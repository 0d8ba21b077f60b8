"""The cells of a task, in pieces that are made and labelled one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest, file_sha256
from entropy_flows.distill.labelling import labelled
from entropy_flows.distill.surroundings import HOT, HOT_WARM_UP, WARM_UP, Surroundings
from entropy_flows.potentials import BatchModel, find_model, load_batch_model, split_model

SHARES = {"curve": 0.07, "strained": 0.33, "close": 0.1, "moving": 0.38, "hot": 0.12}
"""Kind of cells → its share of all; `hot` are to test only."""
PIECE_CELLS = 20
"""Most cells at rest in a piece."""
MIN_CELLS = 20
"""Fewest cells of a phase: below, a kind would have none."""


@dataclass(frozen=True)
class StudentTask:
    """A small model to be made.

    Attributes
    ----------
    elements
        Chemical symbols that it is to know.
    seeds
        Phase → seed cell.
    teacher
        Name or path of the model to be distilled.
    temperatures, pressures
        Conditions (K, GPa) that it is to be used at.
    cells
        Number of cells that the teacher labels, over all phases.
    architecture, size
        Kind and size of the network, keys of `networks.SIZES`.
    epochs
        Epochs of training at most.
    seed
        Seed of cells, split and weights.
    more
        Further cells to label and to train on.
    device
        Torch device.
    """

    elements: tuple[str, ...]
    seeds: dict[str, Atoms]
    teacher: str
    temperatures: tuple[float, ...]
    pressures: tuple[float, ...] = (0.0,)
    cells: int = 240
    architecture: str = "allegro"
    size: str = "small"
    epochs: int = 300
    seed: int = 7
    more: tuple[Atoms, ...] = field(default=(), repr=False)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.cells < MIN_CELLS * len(self.seeds):
            raise ValueError(
                f"{self.cells} cells are too few for {len(self.seeds)} phases: "
                f"expected {MIN_CELLS * len(self.seeds)} or more"
            )

    @cached_property
    def model(self) -> BatchModel:
        """The teacher, loaded when it is first needed."""
        return load_batch_model(self.teacher, self.device)

    def labels_key(self) -> str:
        """Return a digest of all that decides the labels: another task has other files."""
        name, _ = split_model(self.teacher)
        is_file = find_model(self.teacher).family.is_file(name)
        teacher = file_sha256(name) if is_file else self.teacher
        cells = [*self.seeds.values(), *self.more]
        content = [
            [cell.numbers.tolist(), cell.cell.array.tolist(), cell.positions.tolist()]
            for cell in cells
        ]
        conditions = [list(self.temperatures), list(self.pressures)]
        return digest([teacher, list(self.seeds), content, conditions, self.cells, self.seed])[:12]


@dataclass(frozen=True)
class Piece:
    """Cells of one kind that are made and labelled together.

    Attributes
    ----------
    name
        Name of its file, without ending.
    title
        Words for those who watch.
    count
        Number of cells that it has, about.
    held_out
        True for cells that are to test only.
    make
        Makes the cells, labelled by the teacher.
    """

    name: str
    title: str
    count: int
    held_out: bool
    make: Callable[[], list[Atoms]]


def pieces_of(task: StudentTask) -> Iterator[Piece]:
    """Yield the pieces of a task, phase by phase."""
    for index, name in enumerate(task.seeds):
        yield from _pieces_of_phase(task, index, name)
    for first in range(0, len(task.more), PIECE_CELLS):
        cells = task.more[first : first + PIECE_CELLS]
        yield Piece(
            f"given-{first // PIECE_CELLS:03d}",
            "given cells",
            len(cells),
            False,
            partial(_label_given, task, cells),
        )


def _pieces_of_phase(task: StudentTask, index: int, name: str) -> Iterator[Piece]:
    """Yield the pieces around one seed."""
    around = _Lazy(task, name)
    counts = {
        kind: max(1, round(share * task.cells / len(task.seeds))) for kind, share in SHARES.items()
    }
    for kind_number, (kind, total) in enumerate(counts.items()):
        is_moving = kind in ("moving", "hot")
        sizes = [total] if is_moving else _chunks(total)
        for number, count in enumerate(sizes):
            seed = [task.seed, index, kind_number, number]
            yield Piece(
                f"{index:02d}-{kind}-{number:03d}",
                f"{name}, {kind}",
                count,
                kind == "hot",
                partial(around.cells, kind, count, seed),
            )


def _label_given(task: StudentTask, cells: Sequence[Atoms]) -> list[Atoms]:
    """Label cells that were given."""
    return labelled(cells, task.model)


def _chunks(total: int) -> list[int]:
    """Split a number of cells into pieces of nearly equal size."""
    return [len(chunk) for chunk in np.array_split(np.arange(total), -(-total // PIECE_CELLS))]


@dataclass
class _Lazy:
    """The surroundings of a seed, worked out when the first cell of them is made."""

    task: StudentTask
    name: str

    @cached_property
    def around(self) -> Surroundings:
        """Volumes and cells of the phase."""
        task = self.task
        return Surroundings.of(self.name, task.seeds[self.name], task.model, task.pressures)

    def cells(self, kind: str, count: int, seed: Sequence[int]) -> list[Atoms]:
        """Make cells of a kind, labelled."""
        rng = np.random.default_rng(seed)
        around = self.around
        if kind == "curve":
            cells = around.curve(count)
        elif kind == "strained":
            cells = around.strained(count, rng)
        elif kind == "close":
            cells = around.close_pairs(count, rng)
        else:
            temperatures = self.task.temperatures
            warm_up = WARM_UP
            if kind == "hot":
                temperatures = (HOT * max(temperatures),)
                warm_up = HOT_WARM_UP
            cells = around.dynamics(
                self.task.model, temperatures, count, warm_up, int(rng.integers(2**31))
            )
        return labelled(cells, self.task.model)
