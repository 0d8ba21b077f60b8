"""The file of `entropy-flows agnostic`: cells without physics, and what becomes of them."""

from __future__ import annotations

from typing import Any

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from entropy_flows.entropy import MODES, DatasetParams, Mode
from entropy_flows.explore import Reference, RevEMParams, Window, reference_state, windows
from entropy_flows.explore.cells import CLOSE_PACKED
from entropy_flows.fingerprints import FingerprintParams, GOMParams, check_fingerprint
from entropy_flows.label import LabelParams
from entropy_flows.params import Params
from entropy_flows.schemas.campaign import Category
from entropy_flows.schemas.documents import Document
from entropy_flows.schemas.stages import Stage


class WindowsParams(Params):
    """Volume windows of equal width, in units of the ground state's volume per atom.

    The defaults are those of Subramanyam 2025.
    """

    count: int = Field(17, ge=1, le=1000)
    """Number of windows."""
    lowest: float = Field(0.45, gt=0)
    """Lower end of the first window."""
    highest: float = Field(3.0, gt=0)
    """Upper end of the last window."""
    core: float | None = Field(None, gt=0)
    """R_core of a volume per atom of 1 Å³ (Å). None: 0.84, that of close-packed spheres; in open
    windows the element's own, 0.75 of its nearest-neighbour distance at that density.
    """
    chosen: tuple[int, ...] | None = None
    """Only these of the windows, counted from 0."""

    @model_validator(mode="after")
    def _in_range(self) -> WindowsParams:
        if not self.lowest < self.highest:
            raise ValueError(f"lowest {self.lowest:g} must be below highest {self.highest:g}")
        for index in self.chosen or ():
            if not 0 <= index < self.count:
                raise ValueError(f"chosen window {index}: expected 0 to {self.count - 1}")
        if self.chosen is not None and len(set(self.chosen)) < max(1, len(self.chosen)):
            raise ValueError(f"chosen {self.chosen}: expected at least one window, and each once")
        return self

    def windows(self, volume: float, core: float, first: int) -> list[Window]:
        """Return the windows of a ground state of this volume per atom (Å³), from `first` on."""
        every = windows(volume, self.count, self.lowest, self.highest, self.core or core, first)
        return every if self.chosen is None else [every[index] for index in sorted(self.chosen)]


class AgnosticParams(RevEMParams):
    """A data set of cells of one element, found without any physics (Subramanyam 2025, Rev-EM)."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Unique name in the database."""
    element: str
    """Chemical symbol."""
    volume: float | None = Field(None, gt=0)
    """Volume per atom of the ground state (Å³); None takes ASE's reference crystal."""
    nearest: float | None = Field(None, gt=0)
    """Its nearest-neighbour distance (Å); None takes ASE's reference crystal."""
    windows: WindowsParams = WindowsParams()
    open: bool = False
    """Whether `open_windows` are searched, too: for elements whose ground state is not
    close-packed (Subramanyam 2025, 5.3).
    """
    open_windows: WindowsParams = WindowsParams(count=8, lowest=1.0, highest=5.0)
    """Larger volumes, and a smaller R_core."""
    modes: tuple[Mode, ...] = Field(MODES, min_length=1)
    """Whether atoms or cells are told apart: each is a data set of its own until all are
    gathered.
    """
    parts: int = Field(1, ge=1, le=99)
    """Independent runs of each window and mode, for more jobs than windows; each has
    `iterations` candidates.
    """
    fingerprint: FingerprintParams = GOMParams(cutoff=4.5, natx=64)
    """What is told apart."""
    regularization: float = Field(1e-6, gt=0)
    """λ of the covariance; Subramanyam 2025 has none. It should be below what the fingerprint's
    components vary by.
    """
    seed: int = Field(42, ge=0)
    """Everything random follows from it."""
    label: LabelParams | None = None
    """The label engine; None leaves the cells without labels."""
    categories: dict[Stage, Category] = Field(default_factory=dict)
    """Stage → category of the workers; ascend, admit and finish run on cpu, label on dft."""
    queue: dict[Stage, dict[str, str | int]] = Field(default_factory=dict)
    """Stage → what its jobs ask of the queue; with FireWorks for `qlaunch -r` only."""

    @field_validator("element")
    @classmethod
    def _known_element(cls, element: str) -> str:
        if element not in chemical_symbols[1:]:
            raise ValueError(f"{element!r} is not a chemical symbol")
        return element

    @model_validator(mode="after")
    def _consistent(self) -> AgnosticParams:
        if len(set(self.modes)) < len(self.modes):
            raise ValueError(f"modes {', '.join(self.modes)}: one is named twice")
        _ = self.reference
        check_fingerprint(self.dataset.fingerprint)
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """The element, as a campaign names its own."""
        return (self.element,)

    @property
    def reference(self) -> Reference:
        """Ground state, from the file or from ASE's table."""
        if self.volume is not None and self.nearest is not None:
            return Reference(self.volume, self.nearest)
        tabulated = reference_state(self.element)
        return Reference(self.volume or tabulated.volume, self.nearest or tabulated.nearest)

    @property
    def dataset(self) -> DatasetParams:
        """Fingerprint and regularisation of the data set's covariance."""
        fingerprint = self.fingerprint.model_copy(update={"elements": self.elements})
        return DatasetParams(fingerprint=fingerprint, regularization=self.regularization)

    @property
    def search(self) -> RevEMParams:
        """Parameters of each run."""
        return RevEMParams(**{name: getattr(self, name) for name in RevEMParams.model_fields})

    def all_windows(self) -> list[Window]:
        """Return the windows, and the open ones after them."""
        every = self.windows.windows(self.reference.volume, CLOSE_PACKED, 0)
        if self.open:
            every += self.open_windows.windows(
                self.reference.volume, self.reference.core, self.windows.count
            )
        return every

    def batches(self) -> list[tuple[Window, Mode, int]]:
        """Return window, mode and number of each run, in the order of their ledger entries."""
        return [
            (window, mode, number)
            for window in self.all_windows()
            for mode in self.modes
            for number in range(self.parts)
        ]


class AscendDoc(Document):
    """One run: a window in one mode."""

    iteration: int
    batch: int
    window: int
    low: float
    """Å³/atom."""
    high: float
    r_core: float
    """Å."""
    r_min: float
    mode: Mode
    repeat: int
    """Number of the run among those of its window and mode."""
    tried: int
    accepted: int
    """Beside the random cells of the beginning."""
    bootstrap: int
    close: int
    """Rejected: two atoms closer than R_min."""
    entropy: int
    """Rejected: no gain."""
    k: float
    """K at the end."""
    entropies: list[float]
    """log det Σ of this run's cells, after each."""
    random: list[float]
    """The same of as many random cells of the window."""
    statistics: dict[str, str]
    """Of the random cells, per mode: sufficient statistics in base64."""
    cpu_seconds: float
    """Of the search, without the random cells."""
    trajectories: list[dict[str, Any]]
    """Per cell: cell (3, 3) Å, positions (n_atoms, 3) Å, candidate, k, gain."""


class AdmitDoc(Document):
    """All runs' cells in the ledger."""

    iteration: int
    batches: int
    """Runs that were gathered."""
    cells: int
    atoms: int
    entropy: dict[str, float]
    """log det Σ of the whole data set, per mode."""
    random: dict[str, float]
    """The same of all the random cells."""
