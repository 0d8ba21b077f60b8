"""The campaign file: everything a campaign is, validated before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from entropy_flows.entropy import DatasetParams
from entropy_flows.evaluate.physics.params import PhysicsParams
from entropy_flows.explore import AnchorParams, ExploreParams, IndependentParams, Phase
from entropy_flows.explore.conditions import grid_phases
from entropy_flows.fingerprints import FingerprintParams, GOMParams, check_fingerprint
from entropy_flows.label import LabelParams
from entropy_flows.modules import lies_beside, use_folder
from entropy_flows.params import Params, one_line
from entropy_flows.plugins import import_paths
from entropy_flows.potentials import ModelName, split_model
from entropy_flows.refine import RefineParams
from entropy_flows.schemas.curve import CurveParams
from entropy_flows.schemas.source_files import with_source_paths
from entropy_flows.schemas.stages import Stage
from entropy_flows.select import SELECTORS, LogDetSelector, SelectParams, TargetSelector
from entropy_flows.summary import Summarised, Summary
from entropy_flows.train import AnyTrainParams, TrainParams
from entropy_flows.yaml_text import MAX_INTEGER, read_yaml

Category = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
SettingsT = TypeVar("SettingsT", bound=Params)


class IterationSettings(Params):
    """Settings of one iteration; a campaign's `iterations` may change any from one to the next."""

    explore: ExploreParams = ExploreParams()
    anchors: AnchorParams = AnchorParams()
    select: SelectParams = LogDetSelector()
    refine: RefineParams = RefineParams()
    train: AnyTrainParams = TrainParams()
    local_fingerprint: GOMParams = GOMParams(cutoff=3.0, natx=50)
    """Fingerprint of the local entropy (Wang 2026: r_c = 3.0 Å)."""


class StopParams(Params):
    """Conditions that end a campaign: whichever comes first."""

    max_iterations: int | None = Field(None, ge=1, le=1000)
    """None takes the length of `iterations`, or 3 if that is empty."""
    label_budget: int | None = Field(None, ge=1)
    """Most labels of the whole campaign, failed ones included: each has cost its calculation."""
    energy_mae: float | None = Field(None, gt=0)
    """Validation error of the energy (eV/atom) at which the potential is good enough."""
    forces_mae: float | None = Field(None, gt=0)
    """Validation error of the force components (eV/Å), required as well if given."""
    unknown: float | None = Field(None, gt=0, lt=1)
    """Share of the target that may stay unknown, for campaigns whose selector has a target."""

    @model_validator(mode="after")
    def _energy_with_forces(self) -> StopParams:
        if self.forces_mae is not None and self.energy_mae is None:
            raise ValueError(
                "forces_mae ends nothing alone: energy_mae has to be given, and reached, as well"
            )
        return self


class Campaign(Summarised, IterationSettings):
    """One campaign.

    The stage sections hold for every iteration; `iterations` overrides them one by one.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Unique name in the database."""
    elements: tuple[str, ...] = Field(min_length=1)
    """Chemical symbols; their fixed order is that of the fingerprint's blocks."""
    seed: int = Field(42, ge=0)
    """Everything random follows from it."""
    base_model: ModelName
    """A .nequip.zip or .pth file, a nequip.net id, SevenNet-0, 7net-l3i5 or another of SevenNet's,
    a name atomate2's forcefields know, or an import path; with keyword arguments a mapping, such
    as {name: 7net-mf-0, modal: PBE}.
    """
    student: ModelName | None = None
    """The model to fine-tune first, where no trainer takes the base model, or another is wanted;
    as `base_model`.
    """
    phases: tuple[Phase, ...] = Field(min_length=1)
    """Seed crystals."""
    global_fingerprint: FingerprintParams = GOMParams(cutoff=4.5, natx=200)
    """Fingerprint of the global entropy; one for the whole campaign, since the covariance is
    over it.
    """
    regularization: float = Field(1e-3, gt=0)
    """λ of the covariance (Eq. 4)."""
    label: LabelParams
    """The label engine; one for the whole campaign, since labels of two engines do not mix."""
    stop: StopParams = StopParams()
    independent: IndependentParams = IndependentParams()
    """The independent test, for `entropy-flows curve`."""
    curve: CurveParams = CurveParams()
    """The learning curve."""
    physics: PhysicsParams = PhysicsParams()
    """Checks of the potential, by `entropy-flows physics`; may be changed at any time."""
    categories: dict[Stage, Category] = Field(default_factory=dict)
    """Stage → category of the workers that take its jobs. Else `gpu` for explore, anchor,
    independent, refine, train, member, compile, retrain, point, physics; `dft` for label; `cpu`
    for the others.
    """
    queue: dict[Stage, dict[str, str | int]] = Field(default_factory=dict)
    """Stage → what its jobs ask of the queue, such as {walltime: "48:00:00"}; with FireWorks for
    `qlaunch -r` only.
    """
    iterations: tuple[dict[str, Any], ...] = Field((), max_length=1000)
    """Changes of the stage sections, one mapping per iteration; the last one holds for those
    that follow.
    """

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in elements:
            if symbol not in chemical_symbols[1:]:
                raise ValueError(f"{symbol!r} is not a chemical symbol")
        if len(set(elements)) < len(elements):
            raise ValueError(f"{', '.join(elements)}: an element is named twice")
        return elements

    @model_validator(mode="after")
    def _consistent(self) -> Campaign:
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases: two have the same name ({', '.join(names)})")
        for section in ("physics", "independent"):
            unknown = [name for name in getattr(self, section).phases or () if name not in names]
            if unknown:
                raise ValueError(
                    f"{section}.phases: {unknown[0]!r} is not a phase of this campaign "
                    f"({', '.join(names)})"
                )
        self._fingerprint_fits()
        # all iterations after the last one that is listed are alike
        last = min(max(self.n_iterations, len(self.iterations)), len(self.iterations) + 2)
        for number in range(1, last + 1):
            try:
                self._check_iteration(number, names)
            except ValueError as err:
                raise ValueError(f"iterations[{number - 1}]: {one_line(err)}") from None
        return self

    def _check_iteration(self, number: int, phases: list[str]) -> None:
        """Refuse an iteration of unknown phases, or whose selector lacks what it needs."""
        config = self.iteration(number)
        grid_phases(config.explore, phases)
        weights = config.explore.entropy_weights if config.explore.dynamics else ()
        if config.select.needs_plain_dynamics and 0 not in weights:
            raise ValueError(
                "select.target 'plain' is made of dynamics at k = 0; add 0 to "
                f"explore.entropy_weights, which are {', '.join(f'{k:g}' for k in weights)}"
            )
        rules = [self.iteration(earlier).select for earlier in range(1, number + 1)]
        has_target = any(isinstance(rule, TargetSelector) for rule in rules)
        if config.train.weights == "target" and not has_target:
            raise ValueError(
                "train.weights 'target' needs a target: set select.selector to herding or variance"
            )
        if config.select.accepted_of(100) != 100 and not config.refine.enabled:
            raise ValueError(
                "select.refined leaves labels to refinement, and refine.enabled is false: "
                "leave one of the two out"
            )
        if number == 1 or not config.select.needs_committee:
            return
        committee = self.iteration(number - 1).train.committee
        if committee < 2:
            raise ValueError(
                f"select.selector {config.select.selector!r} needs the committee of the iteration "
                f"before; set train.committee, which is {committee} there, to 2 or more"
            )

    def _fingerprint_fits(self) -> None:
        """Refuse a global fingerprint that cannot be of these elements."""
        try:
            check_fingerprint(
                self.global_fingerprint.model_copy(update={"elements": self.elements})
            )
        except ValueError as err:
            raise ValueError(f"global_fingerprint: {one_line(err)}") from None

    @model_validator(mode="after")
    def _paths_stay_inside(self) -> Campaign:
        """Refuse a path that leaves the campaign file's folder without being absolute."""
        paths = [("base_model", self.base_model), ("student", self.student)]
        paths += [(f"phase {phase.name!r}: file", phase.file) for phase in self.phases]
        for key, path in paths:
            if path is None:
                continue
            name = split_model(path)[0].removeprefix("shipped:")
            if PurePath(normpath(name)).parts[:1] == ("..",):
                raise ValueError(
                    f"{key} {path} leaves the folder of the campaign file; give its absolute path "
                    f"if that is meant"
                )
        return self

    def summary(self) -> Summary:
        """Return what a notebook shows: what the campaign will do."""
        from entropy_flows.schemas.summaries import campaign_summary

        return campaign_summary(self)

    @property
    def n_iterations(self) -> int:
        """Largest number of iterations."""
        return self.stop.max_iterations or len(self.iterations) or 3

    def iteration(self, number: int) -> IterationSettings:
        """Return the campaign's sections with the changes of an iteration (from 1)."""
        base = {
            name: getattr(self, name).model_dump(exclude_unset=True)
            for name in IterationSettings.model_fields
        }
        if self.iterations:
            # without the preset's values, so that another preset replaces them
            base["train"] = self.train.keys_given()
            changes = self.iterations[min(number, len(self.iterations)) - 1]
            base["select"] = SELECTORS.without_others(base["select"], changes.get("select"))
            base = _merge(base, changes)
        return IterationSettings.model_validate(base)

    @property
    def hardest(self) -> tuple[float, float]:
        """Highest temperature (K) and nominal pressure (GPa) that any iteration explores."""
        numbers = range(1, max(1, len(self.iterations)) + 1)
        grids = [self.iteration(number).explore for number in numbers]
        temperature = max(max(grid.temperatures) for grid in grids)
        pressure = max(max(grid.pressures) for grid in grids)
        return temperature, pressure

    @property
    def dataset(self) -> DatasetParams:
        """Fingerprint and regularisation of the data set's covariance."""
        fingerprint = self.global_fingerprint.model_copy(update={"elements": self.elements})
        return DatasetParams(fingerprint=fingerprint, regularization=self.regularization)


def load_campaign(path: Path | str) -> Campaign:
    """Read and validate a campaign file.

    Raises
    ------
    ValueError
        In one line per problem: where it is, what was found, what was expected.
    """
    return validated(Path(path), read_mapping(Path(path)), Campaign)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file's keys; a ValueError if it has none."""
    if not path.exists():
        raise ValueError(f"campaign file {path} does not exist; `entropy-flows init` writes one")
    data = read_yaml(path)
    if not isinstance(data, dict):
        content = "the file is empty" if data is None else f"got {type(data).__name__}"
        raise ValueError(f"{path}: expected a mapping of keys, {content}")
    return data


def validated(path: Path, data: dict[str, Any], schema: type[SettingsT]) -> SettingsT:
    """Validate a file's content; a ValueError of one line."""
    # A plug-in's parameters are part of the schema, so its module must be importable by now.
    modules = [name.partition(":")[0] for _, name in import_paths(data)]
    if any(lies_beside(module, path.parent) for module in modules):
        use_folder(path.parent)
    try:
        settings = schema.model_validate(with_source_paths(data, path.parent))
    except ValueError as err:
        raise ValueError(f"{path}: {one_line(err)}") from None
    large = next(_beyond_64_bits(settings.model_dump(exclude_unset=True)), None)
    if large is not None:
        raise ValueError(f"{path}: {large}: the integer is beyond 64 bits")
    return settings


def _beyond_64_bits(value: Any, where: str = "") -> Iterator[str]:
    """Yield the keys of integers that no database holds.

    YAML's own are refused as they are read, those in quotes are not.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _beyond_64_bits(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _beyond_64_bits(item, f"{where}.{index}")
    elif isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        yield where


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over a mapping, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
