"""One document a stage: what a job returns and the job store keeps.

The campaign's collections hold the truth; these say what a stage did. Large arrays sit under one
key, `trajectories`, which the job store moves to GridFS.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from entropy_flows.entropy import Mode


class Document(BaseModel):
    """Base of the stage documents."""

    model_config = ConfigDict(extra="forbid")


class RegisterDoc(Document):
    """A campaign that has registered itself."""

    iteration: int
    model: str
    """Reference of the base model in the store."""
    parent: str
    """Reference of the model to fine-tune first."""


class RunDoc(Document):
    """One trajectory, without its snapshots."""

    index: int
    phase: str
    """Seed crystal; of frames of a file, the file's name."""
    temperature: float | None
    """Of the thermostat (K); like k and pressure, None for frames of a file."""
    k: float | None
    pressure: float | None
    mode: Mode
    seed: int
    snapshots: int
    mean_temperature: float | None
    """Over the sampled steps (K)."""
    min_distance: float | None
    """Shortest in any snapshot (Å)."""
    reason: str | None
    """Why the run stopped early; None if it did not."""
    wall_seconds: float
    source: str | None = None
    """File that the frames are from; None for a trajectory."""


class ExploreDoc(Document):
    """A batch of trajectories."""

    iteration: int
    batch: int
    runs: list[RunDoc]
    equations_of_state: dict[str, dict[str, float]]
    """Phase → volume (Å³/atom) and bulk modulus (GPa) on the campaign's base model."""
    trajectories: list[dict[str, Any]]
    """Per run: index, numbers, cell (3, 3) Å, steps, positions (n_snapshots, n_atoms, 3) Å,
    energies, max_forces; of a magnetic cell its initial magmoms (n_atoms,) in μ_B.
    """


class SelectDoc(Document):
    """Numbers of an iteration's candidates that the filter accepted and rejected."""

    iteration: int
    candidates: int
    accepted: int
    near_misses: int
    """Candidates just below the threshold."""
    rejected: int
    spent: int
    """Not judged: the budget was spent, or what was left was not worth it (`reason`)."""
    reason: str = ""
    """Why the selector stopped before the budget was spent; empty if it did not."""
    entropy_before: dict[str, float]
    """log det Σ per mode."""
    entropy_after: dict[str, float]
    variance_before: float | None = None
    """Share of the target that is not known; None without one."""
    variance_after: float | None = None
    gains: list[float]
    """ΔH of the accepted, in order."""
    trajectories: list[dict[str, Any]]
    """The near-threshold candidates: key, mode, origin, structure."""


class RefineDoc(Document):
    """Numbers of the near-threshold candidates that refinement has added."""

    iteration: int
    tried: int
    accepted: int
    steps: int
    """L-BFGS steps in all."""
    wall_seconds: float = 0.0
    """Of the refinements, without loading the model."""
    gains: list[tuple[float, float]]
    """ΔH before and after, of each tried."""
    refused: dict[str, int] = {}
    """Why the model refused a cell on the way, which ended that search → count."""
    entropy_after: dict[str, float]
    variance_after: float | None = None
    """Share of the target that is not known; None without one."""


class CalculatedLabels(Document):
    """Labels that were calculated, and are not in the database yet."""

    labels: dict[str, dict[str, Any]]
    """Identifier of a ledger entry → its label, as `Label.as_dict` writes it."""
    documents: dict[str, str] = {}
    """Identifier of a ledger entry → its task document, as a text."""


class LabelDoc(Document):
    """A batch of labels, or the sum of an iteration's batches."""

    iteration: int
    requested: int
    labelled: int
    failed: int
    reasons: dict[str, int] = {}
    """Reason of failure → count."""
    anchors: int = 0


class TrainDoc(Document):
    """A fine-tuning."""

    iteration: int
    model: str
    """Reference of the new model in the store."""
    parent: str
    trained_on: int
    left_out: int
    """Training cells that the trainer left out."""
    left_out_reasons: dict[str, int] = {}
    """Kind of reason → training and validation cells that were left out."""
    replayed: int = 0
    """Cells with the first model's labels that were trained on beside the labelled ones."""
    epochs: int
    wall_seconds: float


class MemberDoc(Document):
    """A further member of a committee."""

    iteration: int
    member: int
    """From 2; member 1 is the iteration's model."""
    model: str
    """Reference of the model in the store."""
    parent: str
    epochs: int
    wall_seconds: float


class CompileDoc(Document):
    """The decision whether a new model is compiled for the iterations to come."""

    iteration: int
    model: str
    """Reference of the model in the store."""
    is_there: bool
    """Whether there is a compiled form for this kind of machine."""
    is_new: bool = False
    """Whether this job has made it."""
    reason: str = ""
    """Why it was made or not, with the figures."""
    machine: str | None = None
    """Kind of the machine."""
    saved: float | None = None
    """Seconds that a compiled form was expected to save in the dynamics to come."""
    seconds: float | None = None
    """Seconds that compiling took."""
    size: int | None = None
    """Cells of a call that was timed."""
    eager: float | None = None
    """Seconds of such a call of the model as it is."""
    compiled: float | None = None
    """Seconds of such a call of the compiled form."""


class RetrainDoc(Document):
    """A further training of an iteration's model."""

    iteration: int
    version: int
    """From 2; version 1 is the iteration's model."""
    model: str
    """Reference of the model in the store."""
    parent: str
    trained_on: int
    epochs: int
    wall_seconds: float


class ContinuesDoc(Document):
    """The model that the campaign goes on from, and the reason."""

    model: str
    """Reference of the model in the store."""
    iteration: int
    """That it is registered under: 0 for the base model, −1 for the student."""
    is_new: bool
    """Whether it is the new model."""
    worse: bool
    """Whether the new model is worse than the one before."""
    reason: str
    """What the validation cells say, with the numbers."""


class EvaluateDoc(Document):
    """Errors of the model before and after, on cells neither has seen."""

    iteration: int
    before: dict[str, Any]
    after: dict[str, Any]
    validation: dict[str, Any]
    """Of the new model, on the validation cells."""
    validation_before: dict[str, Any]
    """Of the model before on the validation cells, its energies moved to the labels' zero as a
    training does.
    """
    continues: ContinuesDoc
    calibration: dict[str, Any] = {}
    """Of a committee, by "energy" and "forces": n, spearman, ratio, and spread and error of each
    held-out cell.
    """

    forgotten: dict[str, dict[str, Any]] = {}
    """"before" and "after": errors on the held-out replay cells against the first model's own
    labels, its energies moved by element; under "kinds" those of each kind of cell.
    """

    @property
    def validation_in_use(self) -> dict[str, Any]:
        """Errors on the validation cells of the model that the campaign goes on from."""
        return self.validation if self.continues.is_new else self.validation_before


class PhysicsDoc(Document):
    """Physics checks of one model; the results are rows of `checks`."""

    iteration: int
    model: str
    """Reference of the model, or of the label engine."""
    completed: int
    """Checks made now."""
    reused: int
    """Checks that were in the database before."""
    failed: int
    """Checks of both kinds without a result, each with its reason."""


State = Literal["running", "done", "failed"]


class StateDoc(Document):
    """The state of a campaign after the job that ends it, or goes on with it."""

    state: State
    message: str | None = None
    """Why it ended, in one line; None if it goes on."""


class PointDoc(Document):
    """One trained model of a learning curve."""

    iteration: int
    method: str
    size: int
    seed: int
    model: str
    """Its reference among the curve's models."""
    inputs_sha256: str
    """Of cells, recipe and base model, see `jobs.curve.point_sha256`."""
    trained_on: int
    """Cells, after the edge limit."""
    validated_on: int
    epochs: int
    wall_seconds: float
    keys: list[str]
    """Training cells: campaign and key."""
    errors: dict[str, dict[str, Any]]
    """Test → errors, see `evaluate.Errors`."""
