"""Parameters of a benchmark: options of `entropy-flows bench-selectors`, or its YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from entropy_flows.fingerprints import FingerprintParams, GOMParams
from entropy_flows.params import Params, one_line
from entropy_flows.select import SELECTORS, Selector, make_selector
from entropy_flows.spelling import unknown
from entropy_flows.train import AnyTrainParams, TrainParams
from entropy_flows.yaml_text import read_yaml

Count = Annotated[int, Field(ge=1)]
StudentName = Literal["networks", "linear", "gp", "model"]
"""Kinds of students."""

PRESETS: dict[str, dict[str, Any]] = {
    # Khan 2026: 30 cells at random and six batches of 15, five networks of 17 → 128 → 128 → 1, and
    # five seeds.
    "khan-2026": {
        "selectors": ("random", "committee", "kmeans", "hybrid"),
        "sizes": (30, 45, 60, 75, 90, 105, 120),
        "initial": 30,
        "batch": 15,
        "seeds": (42, 123, 456, 789, 1011),
        "split_by_seed": False,
        "network": {"hidden": (128, 128), "members": 5},
    },
}
"""Preset → values of the parameters that are not named otherwise."""
REGRESSIONS = ("linear", "gp")
"""Students of `RegressionParams`."""


class NetworkParams(Params):
    """The fast student: a committee of small networks from fingerprints to energies.

    `entropy_flows.bench.network` has the equations.
    """

    hidden: tuple[Count, ...] = (64, 64)
    """Width of each hidden layer."""
    members: int = Field(5, ge=2)
    """Number of networks, alike but for their seeds; the prediction is their mean."""
    steps: Count = 500
    """Number of steps of Adam, each on all cells."""
    learning_rate: float = Field(1e-3, gt=0)
    """Adam's step length."""
    inputs: Literal["atoms", "mean"] = "atoms"
    """atoms: the energy per atom is the mean of a network's values for the atoms. mean: it is the
    network's value for the mean fingerprint. Each row of a table is one atom, and both are the
    same.
    """


class PowerSpectrumParams(Params):
    """Surroundings of atoms as the students `linear` and `gp` see them.

    `entropy_flows.bench.power_spectrum` has the equations.
    """

    cutoff: float = Field(5.0, gt=0)
    """Distance (Å) up to which an atom has neighbours."""
    smoothing: float = Field(0.5, gt=0)
    """Width (Å) of the step at the cutoff."""
    width: float = Field(0.5, gt=0)
    """Standard deviation (Å) of each neighbour's Gaussian."""
    radial: Count = 6
    """Number of radial functions."""
    angular: Count = 5
    """Largest angular momentum."""
    directions: Count = 128
    """Most principal directions for each element of a central atom."""


class RegressionParams(Params):
    """The students `linear` and `gp`: regularised least squares on energies and forces.

    `entropy_flows.bench.regression` has the equations.
    """

    power_spectrum: PowerSpectrumParams = PowerSpectrumParams()
    """The invariants that they learn from."""
    landmarks: Count = 600
    """Of `gp`: number of surroundings whose kernels are the basis, shared by the elements."""
    exponent: Count = 4
    """Of `gp`: ζ of the kernel (p·p′/|p||p′|)^ζ."""
    energy_noise: float = Field(0.001, gt=0)
    """Standard deviation (eV/atom) of an energy. Both noises are scaled by one factor, which the
    labels decide: it is their ratio that counts."""
    force_noise: float = Field(0.1, gt=0)
    """Standard deviation (eV/Å) of a force component."""
    strength: Literal["evidence", "folds"] = "evidence"
    """What decides how strongly coefficients are held down: the evidence, or the error on cells
    that are left out of five fits. Take folds for pools of several elements."""


class BenchParams(Params):
    """A pool, the selectors, the budget, and the student that shows the worth of a choice.

    With `initial` cells the choice goes in rounds. The initial cells are drawn at random, the same
    for all selectors. Each round adds to the cells before it, up to the largest size. Without
    `initial`, each size is chosen from nothing at once.
    """

    pool: str
    """Path of extended XYZ with energies, and maybe forces and stress; or of a table (.csv) with a
    column of targets.
    """
    preset: Literal["none", "khan-2026"] = "none"
    """khan-2026: Khan 2026's protocol."""
    selectors: tuple[str, ...] = Field(("random", "logdet", "greedy"), min_length=1)
    """Selectors to compare: `logdet`, `greedy`, `farthest`, `kcentres`, `kmeans`, `committee`,
    `hybrid`, `variance`, `llpr`, `bait`, `facility`, `herding`, `kdpp`, `direct`, `random`,
    names of entry points, import paths."""
    sizes: tuple[Count, ...] = Field((20, 40, 80), min_length=1)
    """Numbers of cells to train on."""
    initial: int = Field(0, ge=0)
    """Number of cells drawn at random before the first round; 0 for no rounds."""
    batch: Count | None = None
    """Number of cells of a round; None takes one round from each size to the next."""
    seeds: tuple[int, ...] = Field(tuple(range(10)), min_length=1)
    """Seeds; each governs the split, the first cells, the order of the pool, covariance modes and
    student."""
    split_by_seed: bool = True
    """Whether each seed splits the pool anew. If not, all seeds have one split."""
    within: float | None = Field(None, gt=0)
    """Energy (eV/atom) above the lowest of the pool, up to which cells are in it; None takes
    all.
    """
    forces: bool = True
    """Whether forces are read, trained on and tested. It is False for a pool whose forces are
    missing, or are not to be used.
    """
    students: tuple[StudentName, ...] = ()
    """Students that are trained on what was chosen. `networks`: small networks, energies alone;
    `linear` and `gp`: regression on power spectra, energies and forces; `model`: the base model,
    fine-tuned. None named takes the model if there is a base model, else the networks."""
    base_model: str | None = None
    """Model that is fine-tuned as the student `model`."""
    train: AnyTrainParams = TrainParams(preset="small")
    """Recipe of the fine-tuning. `committee` is the number of models for the selectors `committee`
    and `hybrid`, at least 2.
    """
    network: NetworkParams = NetworkParams()
    """Settings of the networks."""
    regression: RegressionParams = RegressionParams()
    """Settings of the students `linear` and `gp`."""
    fingerprint: FingerprintParams = GOMParams(cutoff=4.5, natx=200)
    """Fingerprint of extended XYZ, by which selectors choose and from which `networks` learn; its
    elements are those of the pool unless named."""
    regularization: float = Field(1e-3, gt=0)
    """λ of the covariance."""
    select: dict[str, Any] = Field(default_factory=dict)
    """Parameters such as {theta_min: 0.0001, alpha: 0.6}, for all selectors that have them."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Selector → parameters of it alone, such as {greedy: {theta_min: null}}."""
    target: str | None = None
    """Column of a table that is learned."""
    features: tuple[str, ...] = ()
    """Columns that it is learned from; none named takes all others that hold numbers alone."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        """Take from the preset what is not named."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        # A preset that there is not is refused as a value of its field.
        preset = data.get("preset", "none")
        values = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(data.get(key), dict):
                filled[key] = {**value, **data[key]}
            else:
                filled[key] = data.get(key, value)
        if not filled.get("students"):
            filled["students"] = ["networks" if filled.get("base_model") is None else "model"]
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse parameters that contradict one another."""
        self._check_selectors()
        uncertain = [name for name in self.selectors if self.with_selector(name).needs_committee]
        if uncertain and not self.initial:
            raise ValueError(
                f"selector {uncertain[0]!r} goes by models trained on what was chosen before: set "
                "initial, the number of cells drawn at random first"
            )
        smallest = min(self.sizes)
        if self.initial > smallest:
            raise ValueError(
                f"initial is {self.initial}, more than the smallest of sizes, {smallest}"
            )
        self._check_students()
        for name in ("selectors", "sizes", "seeds", "students"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(map(str, values))}")
        return self

    def _check_students(self) -> None:
        """Refuse students that have nothing to learn from."""
        if ("model" in self.students) != (self.base_model is not None):
            raise ValueError(
                f"students are {', '.join(self.students)} and base_model is {self.base_model}: "
                "the student model is a base model, fine-tuned; name both or neither"
            )
        regressions = [name for name in self.students if name in REGRESSIONS]
        if regressions and self.is_table:
            raise ValueError(
                f"students: {regressions[0]} learns from cells, and {self.pool} is a table; "
                "expected networks"
            )

    def _check_selectors(self) -> None:
        """Refuse selectors that do not exist, and parameters that none of them has."""
        names = list(dict.fromkeys([*self.selectors, *self.settings]))
        for name in names:
            section = f"settings.{name}" if name in self.settings else "selectors"
            if "selector" in self.settings.get(name, {}):
                raise ValueError(f"{section}.selector: {name} is itself; leave it out")
            try:
                self.with_selector(name)
            except ValueError as err:
                raise ValueError(f"{section}: {one_line(err)}") from None
        fields = {
            field
            for name in {*names, *SELECTORS.builtin}
            for field in SELECTORS.params_class(name).model_fields
            if field != "selector"
        }
        for key in self.select:
            if key not in fields:
                raise ValueError(f"select: {unknown('parameter', key, sorted(fields))}")

    def with_selector(self, name: str) -> Selector:
        """Return one of the selectors with its parameters."""
        fields = SELECTORS.params_class(name).model_fields
        shared = {key: value for key, value in self.select.items() if key in fields}
        return make_selector(name, **{**shared, **self.settings.get(name, {})})

    @property
    def is_table(self) -> bool:
        """True if the pool is a table of features."""
        return self.pool.endswith((".csv", ".csv.gz"))


def load_bench(path: Path, changes: dict[str, Any]) -> BenchParams:
    """Load the parameters of a benchmark, with changes laid over them.

    Parameters
    ----------
    path
        File of a pool, or a YAML file that names one.
    changes
        Key, with dots between, → value.

    Raises
    ------
    ValueError
        In one line: what is there, and what was expected.
    """
    data: Any = {"pool": str(path)}
    if path.suffix in (".yaml", ".yml"):
        data = read_yaml(path)
        if not isinstance(data, dict) or "pool" not in data:
            raise ValueError(
                f"{path}: expected a mapping with the key 'pool', the labelled cells' file"
            )
        data["pool"] = str(path.parent / str(data["pool"]))
    for key, value in changes.items():
        _set(data, key.split("."), value)
    try:
        return BenchParams.model_validate(data)
    except ValidationError as err:
        raise ValueError(one_line(err)) from None


def _set(data: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set a value in nested mappings."""
    *parents, last = keys
    for depth, key in enumerate(parents, 1):
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ValueError(
                f"{'.'.join(keys)}: {'.'.join(keys[:depth])} is {data!r}, "
                f"which has no {keys[depth]}"
            )
    data[last] = value
