"""How far a configuration is from a data set, whatever model was trained on it.

    γ_i = √(h_i / h_e)                                                                           (1)
    h_i = (q_i − μ_e)ᵀ Σ_e⁻¹ (q_i − μ_e),    Σ_e = C_e/N_e + λ I                                 (2)
    γ = max_i γ_i                                                                                (3)

h_i is the leverage of atom i: the squared distance of its fingerprint from those of the data set,
in the data set's own metric. h_e is the edge of what is known: the quantile p of the leverages of
the data set's own atoms, each judged by the *other* cells alone (`leverages_by_others`). Judged
together with itself, an atom would be near to the data by definition. The whole cell is left out
because its atoms resemble one another. The quantile is the k-th smallest of N_e leverages with

    k = min(⌈p (N_e + 1)⌉, N_e)                                                                  (4)

so that a further atom drawn like those of the data set is beyond the edge with probability 1 − p,
for any distribution (Vovk 2005, the law of conformal prediction). γ = 1 is the edge, γ = 2 is
twice as far from the centre of the data as the edge in the same direction.

Elements have statistics of their own, as in the grades of Podryabinkin and Shapeev (2017) and of
Lysogorskiy et al. (2023). Those grades are the largest coefficient of an environment's basis
functions in the active set, which D-optimality has chosen. Ours is linear in q − μ too, so the
numbers grow alike. It needs neither the model's basis nor an active set.

The measure `llpr` is the last-layer uncertainty of a model that is linear in q (last-layer
prediction rigidity, Bigi 2024). Its data are energies of cells, so that Σ is over the means q̄_c of
*cells*, of all elements together:

    σ_i² ∝ 1/N + (q_i − μ)ᵀ (C + NλI)⁻¹ (q_i − μ),    C = Σ_c (q̄_c − μ)(q̄_c − μ)ᵀ           (5)

the variance of an atom's part of the energy, with a constant that is learned, too. h_i is N times
the second term; N is the number of cells, and each element has an edge of its own, as in (2).
With the fingerprint `features` it is the uncertainty of that model's own last layer.

A grade is a distance from the data and no error bar: it knows nothing of energies and forces.

=======  ========================================================================================
symbol   meaning
=======  ========================================================================================
q_i      fingerprint (d,) of atom i, whose element is e
μ_e, C_e mean and scatter of the N_e atoms of element e in the data set
λ        `regularization`
p        `level`, 0.999: one atom in a thousand of the data set is beyond the edge
=======  ========================================================================================

References: Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017); Lysogorskiy, Bochkarev,
Mrovec and Drautz, Phys. Rev. Mater. 7, 043801 (2023); Vovk, Gammerman and Shafer, Algorithmic
Learning in a Random World, Springer (2005); Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci.
Technol. 5, 045018 (2024).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from ase import Atoms
from pydantic import ValidationError

from entropy_flows.conventions import Array
from entropy_flows.entropy import DatasetParams, Mode, SufficientStatistics
from entropy_flows.files import write_json
from entropy_flows.fingerprints import GOMParams, make_fingerprint
from entropy_flows.params import one_line

LEVEL = 0.999
"""Share p of the data set's atoms that is within the edge."""
BATCH_ATOMS = 2048
"""Atoms whose fingerprints are computed in one call: a few megabytes of vectors."""
MIN_EDGE = 1e-12
"""Leverage below which all environments of an element are the same, up to rounding."""
EVERY_ELEMENT = "*"
"""Key of the statistics of cells, which are of all elements together."""
Measure = Literal["leverage", "llpr"]
"""Equation (2) or (5)."""
Rows = tuple[int, np.ndarray]
"""Number of a cell, and the indices of some of its atoms."""
_FORMAT = "entropy_flows novelty 2"


class Novelty:
    """Extrapolation grades against one data set.

    Parameters
    ----------
    dataset
        Fingerprint, with its elements, and λ.
    statistics
        Element → statistics of its atoms' fingerprints, in mode "atom". With `llpr` they are of
        cells, in mode "config", under the key "*".
    edges
        Element → h_e, the leverage at which γ is 1.
    level
        p, the quantile that the edges are.
    measure
        "leverage", equation (2), or "llpr", equation (5).

    Examples
    --------
    >>> novelty = Novelty.of(read("train.extxyz", ":"))
    >>> novelty.grades(read("run.traj", "-1"))  # of each atom; 1 is the edge of what is known
    """

    def __init__(
        self,
        dataset: DatasetParams,
        statistics: dict[str, SufficientStatistics],
        edges: dict[str, float],
        level: float = LEVEL,
        measure: Measure = "leverage",
    ) -> None:
        self.dataset = dataset
        self.fingerprint = make_fingerprint(dataset.fingerprint)
        self.statistics = statistics
        self.edges = edges
        self.level = level
        self.measure = measure

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.counts}, {self.measure}, level={self.level:g})"

    @property
    def counts(self) -> str:
        """Say how much data there is: atoms of each element, or cells."""
        if self.measure == "llpr":
            return f"{self.statistics[EVERY_ELEMENT].n} cells of {', '.join(self.edges)}"
        return ", ".join(f"{one.n} atoms of {symbol}" for symbol, one in self.statistics.items())

    @classmethod
    def of(
        cls,
        cells: Sequence[Atoms],
        dataset: DatasetParams | None = None,
        level: float = LEVEL,
        measure: Measure = "leverage",
    ) -> Self:
        """Work out what a data set knows.

        Parameters
        ----------
        cells
            The data set; two cells at least for each element.
        dataset
            Fingerprint and λ. Without them a GOM fingerprint as campaigns have it by default.
        level
            p of equation (4).
        measure
            "leverage" or "llpr".

        Raises
        ------
        ValueError
            If there are no cells, an element is in one cell only, or all environments of an
            element are the same: then there is no edge.
        """
        dataset = with_elements(dataset, cells)
        fingerprint = make_fingerprint(dataset.fingerprint)
        prints = [q for batch in batches_of(cells) for q in fingerprint(batch)]
        return cls.from_prints(dataset, cells, prints, level, measure)

    @classmethod
    def from_prints(
        cls,
        dataset: DatasetParams,
        cells: Sequence[Atoms],
        prints: Sequence[Array],
        level: float = LEVEL,
        measure: Measure = "leverage",
    ) -> Self:
        """Do as `of` does, given the fingerprints (n_atoms, d) of the cells."""
        if not 0 < level < 1:
            raise ValueError(f"level is {level}; expected a number between 0 and 1")
        by_element: dict[str, list[Rows]] = {}
        for number, atoms in enumerate(cells):
            for symbol, chosen in members(atoms):
                by_element.setdefault(symbol, []).append((number, chosen))
        for symbol, rows in by_element.items():
            _check_count(symbol, rows)
        statistics = {}
        leverages: dict[str, list[Array]] = {}
        if measure == "llpr":
            statistics[EVERY_ELEMENT] = _statistics(prints, dataset.regularization, "config")
            by_cell = [statistics[EVERY_ELEMENT].leverages_by_others(q) for q in prints]
            for symbol, rows in by_element.items():
                leverages[symbol] = [by_cell[number][chosen] for number, chosen in rows]
        else:
            for symbol, rows in sorted(by_element.items()):
                parts = [prints[number][chosen] for number, chosen in rows]
                statistics[symbol] = _statistics(parts, dataset.regularization, "atom")
                leverages[symbol] = [statistics[symbol].leverages_by_others(q) for q in parts]
        edges = {
            symbol: _edge(symbol, np.concatenate(leverages[symbol]), level)
            for symbol in sorted(leverages)
        }
        return cls(dataset, statistics, edges, level, measure)

    def grades(self, atoms: Atoms) -> Array:
        """Return γ_i of each atom (n_atoms,) of a cell, equation (1); γ is the largest of them."""
        return self.grades_of([atoms])[0]

    def grades_of(self, cells: Sequence[Atoms]) -> list[Array]:
        """Return γ_i of each atom (n_atoms,) of many cells, their fingerprints in one call.

        Raises
        ------
        ValueError
            If a cell has an element that the data set has not.
        """
        for atoms in cells:
            self.check_elements(atoms)
        prints = self.fingerprint(cells)
        return [self.grades_from(atoms, q) for atoms, q in zip(cells, prints, strict=True)]

    def grades_from(self, atoms: Atoms, q: Array) -> Array:
        """Return γ_i of each atom (n_atoms,), given the cell's fingerprints (n_atoms, d)."""
        grades = np.empty(len(q))
        for symbol, chosen in members(atoms):
            leverages = self._statistics_of(symbol).leverages(q[chosen])
            grades[chosen] = np.sqrt(leverages / self.edges[symbol])
        return grades

    def cell_uncertainty(self, atoms: Atoms) -> float:
        """Return the last-layer uncertainty of a cell's energy per atom: √h of its mean.

        It ranks cells, and has no unit.

        Raises
        ------
        ValueError
            If the measure is not `llpr`.
        """
        if self.measure != "llpr":
            raise ValueError(f"measure is {self.measure!r}; a cell's uncertainty needs 'llpr'")
        self.check_elements(atoms)
        mean = self.fingerprint(atoms).mean(axis=0, keepdims=True)
        return float(np.sqrt(self.statistics[EVERY_ELEMENT].leverages(mean)[0]))

    def add(self, atoms: Atoms, q: Array) -> None:
        """Let a cell with fingerprints q (n_atoms, d) into the statistics.

        The edges h_e grow as N_e does: h_e/N_e stays. So what is compared with the edge is
        (q − μ)ᵀ (C + NλI)⁻¹ (q − μ), which more data only make smaller, as in D-optimal design.
        With an edge that stays, cells of one kind would make all others less known.
        """
        if self.measure == "llpr":
            parts = [(q, tuple(self.edges))]
        else:
            parts = [(q[chosen], (symbol,)) for symbol, chosen in members(atoms)]
        for rows, symbols in parts:
            statistics = self._statistics_of(symbols[0])
            before = statistics.n
            statistics.add(rows)
            for symbol in symbols:
                self.edges[symbol] *= statistics.n / before

    def _statistics_of(self, symbol: str) -> SufficientStatistics:
        """Return what an element's atoms are compared with."""
        return self.statistics[EVERY_ELEMENT if self.measure == "llpr" else symbol]

    def copy(self) -> Self:
        """Return one with statistics of its own."""
        twin = {symbol: one.copy() for symbol, one in self.statistics.items()}
        return type(self)(self.dataset, twin, dict(self.edges), self.level, self.measure)

    def check_elements(self, atoms: Atoms) -> None:
        """Refuse a cell with an element that the data set has not.

        Raises
        ------
        ValueError
            It names the element.
        """
        for symbol in sorted(atoms.symbols.species()):
            if symbol not in self.edges:
                raise ValueError(
                    f"{atoms.get_chemical_formula()} has {symbol}, of which the data set has no "
                    f"atom: it has {', '.join(self.edges)}"
                )

    def save(self, path: Path | str) -> None:
        """Write a file of some ten kilobytes for each element; `load` reads it to the last bit."""
        statistics = {
            key: base64.b64encode(one.to_bytes()).decode() for key, one in self.statistics.items()
        }
        content = {
            "format": _FORMAT,
            "level": self.level,
            "measure": self.measure,
            "dataset": self.dataset.model_dump(mode="json"),
            "edges": self.edges,
            "statistics": statistics,
        }
        write_json(Path(path), content)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is missing or is not one of these.
        """
        try:
            content = json.loads(Path(path).read_text())
            if content.get("format") != _FORMAT:
                raise ValueError(f"format is {content.get('format')!r}, expected {_FORMAT!r}")
            dataset = DatasetParams.model_validate(content["dataset"])
            statistics = {
                key: SufficientStatistics.from_bytes(base64.b64decode(one))
                for key, one in content["statistics"].items()
            }
            edges = {symbol: float(edge) for symbol, edge in content["edges"].items()}
            measure = content["measure"]
            if measure not in get_args(Measure):
                raise ValueError(
                    f"measure is {measure!r}, expected {' or '.join(get_args(Measure))}"
                )
            return cls(dataset, statistics, edges, float(content["level"]), measure)
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; expected what Novelty.save wrote") from None
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            reason = one_line(err) if isinstance(err, ValidationError) else err
            raise ValueError(f"{path} is no saved novelty: {reason}") from None


def with_elements(dataset: DatasetParams | None, cells: Sequence[Atoms]) -> DatasetParams:
    """Return settings whose fingerprint names the elements of the cells, unless it names some.

    Raises
    ------
    ValueError
        If there are no cells.
    """
    if not cells:
        raise ValueError("a data set of no cells has no edge; expected two cells at least")
    symbols = sorted({symbol for atoms in cells for symbol in atoms.symbols.species()})
    if dataset is None:
        return DatasetParams(fingerprint=GOMParams(cutoff=4.5, natx=200, elements=tuple(symbols)))
    if getattr(dataset.fingerprint, "elements", None):
        return dataset
    settings = dataset.model_dump()
    settings["fingerprint"]["elements"] = symbols
    return DatasetParams.model_validate(settings)


def batches_of(cells: Iterable[Atoms], size: int = BATCH_ATOMS) -> Iterator[list[Atoms]]:
    """Yield cells in batches of about so many atoms, as they come: one cell at least in each."""
    batch: list[Atoms] = []
    n_atoms = 0
    for atoms in cells:
        batch.append(atoms)
        n_atoms += len(atoms)
        if n_atoms >= size:
            yield batch
            batch = []
            n_atoms = 0
    if batch:
        yield batch


def members(atoms: Atoms) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each element of a cell with the indices of its atoms."""
    symbols = np.array(atoms.get_chemical_symbols())
    for symbol in dict.fromkeys(symbols.tolist()):
        yield symbol, np.flatnonzero(symbols == symbol)


def quantile(values: Array, level: float) -> float:
    """Return the k-th smallest of values (n,), equation (4)."""
    k = min(math.ceil(level * (len(values) + 1)), len(values))
    return float(np.partition(values, k - 1)[k - 1])


def graded(atoms: Atoms, grades: Array, above: float = 1.0) -> Atoms:
    """Copy a cell with its grades, and without labels.

    Parameters
    ----------
    atoms
        The cell.
    grades
        γ_i of each atom (n_atoms,).
    above
        γ from which on an atom is marked.

    Returns
    -------
    Atoms
        Arrays `novelty` (γ_i) and `novel` (1 for atoms above, else 0); `info` has `novelty` (γ) and
        `worst_atom`, its index, and the `frame` that the cell's has.
    """
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.set_array("novelty", np.asarray(grades, dtype=float))
    frame.set_array("novel", (grades > above).astype(int))
    worst = int(np.argmax(grades))
    frame.info |= {"novelty": float(grades[worst]), "worst_atom": worst}
    if "frame" in atoms.info:
        frame.info["frame"] = atoms.info["frame"]
    return frame


def _statistics(parts: Sequence[Array], regularization: float, mode: Mode) -> SufficientStatistics:
    """Return the statistics of cells' fingerprints (n_atoms, d)."""
    statistics = SufficientStatistics(parts[0].shape[1], regularization, mode)
    for q in parts:
        statistics.add(q)
    # From its bytes a spectrum is decomposed afresh: grades do not depend on how they were added.
    return SufficientStatistics.from_bytes(statistics.to_bytes())


def _check_count(symbol: str, rows: Sequence[Rows]) -> None:
    """Refuse an element that one cell alone has."""
    if len(rows) < 2:
        raise ValueError(
            f"{symbol} is in one cell of the data set; two are needed, since a cell is judged by "
            "the others"
        )


def _edge(symbol: str, leverages: Array, level: float) -> float:
    """Return h_e of an element, given its atoms' leverages by the other cells.

    Raises
    ------
    ValueError
        If all its environments are the same.
    """
    edge = quantile(leverages, level)
    if not edge > MIN_EDGE:
        raise ValueError(
            f"all environments of {symbol} in the data set are the same: there is no scale to "
            "measure others by; expected cells with displaced atoms or strains"
        )
    return edge
