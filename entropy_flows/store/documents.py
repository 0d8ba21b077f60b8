"""The documents of a campaign's collections: a class for each, whose fields are all there are.

`docs/data.md` is made from these classes, and a test validates what a campaign has written by them.
The writers are in `campaign`, `entry`, `ledger_arrays`, `labels`, `models`, `iterations` and
`checks`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from entropy_flows.entropy import Mode


class StoredDocument(BaseModel):
    """Fields that every document has."""

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True
    )

    seals: dict[str, Any]
    """Field → first 16 hex digits of a SHA-256 of it and of what names the document."""


class EngineDocument(BaseModel):
    """The label engine of a campaign, written by the first who plans or imports labels."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name of the engine, for people."""
    hash: str
    """Hash of all settings that decide its numbers."""
    settings: dict[str, Any]
    """What the hash is of."""


class ChangeDocument(BaseModel):
    """A key of the campaign file that was changed after the campaign had begun."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    key: str
    """Path of the key, with dots."""
    old: Any
    """Its value before."""
    new: Any
    """Its value since."""
    iteration: int | None
    """First iteration that runs with it; null if it holds at once."""
    by: str
    """User and machine."""
    at: datetime
    """When it was changed."""


class ManagerDocument(BaseModel):
    """The workflow manager that has a campaign's jobs."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    """Its name, such as jobflow-remote."""
    project: str | None
    """Its project, where it has several."""


class HoldDocument(BaseModel):
    """The last request to a campaign's jobs: to pause, to end or to go on."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: str
    """pause, cancel or resume."""
    now: bool
    """Whether the jobs that run are stopped."""
    by: str
    """User and machine."""
    since: datetime
    """When it was asked for."""


class CampaignDocument(StoredDocument):
    """A campaign: its configuration, and how it stands."""

    name: str
    """Unique name in the database."""
    schema_: int
    """Version of the documents; a campaign of another version is refused."""
    config: dict[str, Any]
    """The campaign file, validated: the settings of iterations to come."""
    changes: list[ChangeDocument] | None = None
    """Keys of the file that were changed after the campaign had begun: who, when, from which
    iteration on, old and new value.
    """
    seeds: dict[str, Any] | None = None
    """Phase → seed cell, once phases were added."""
    forked_from: dict[str, Any] | None = None
    """Campaign and iteration that a fork begins with; `relabel` if the cells are labelled again."""
    state: str
    """new, running, done or failed; forking or deleting, until that is complete."""
    message: str | None
    """Why it is in this state, in one line."""
    versions: dict[str, str]
    """Package → version that submitted the campaign last."""
    engine: EngineDocument | None = None
    """The label engine, once labels were planned or imported."""
    manager: ManagerDocument | None = None
    """The workflow manager that has its jobs; none for the usual one."""
    hold: HoldDocument | None = None
    """What was asked of its jobs; null when nothing holds them."""
    created: datetime
    """When it was registered."""
    updated: datetime | None = None
    """When its state was last set."""
    submitted: datetime | None = None
    """When it was last submitted; two processes cannot do so at once."""


class StructureDocument(StoredDocument):
    """An entry of the ledger: an accepted, refined, replacing, anchor or imported cell."""

    campaign: str
    """Name of the campaign."""
    key: str
    """Name that is unique within the campaign: iteration, stage, run and step."""
    position: int
    """Position in the ledger, without gaps from 0."""
    iteration: int
    """Iteration that it entered in."""
    stage: str
    """Stage that appended it: select, refine, anchor, top_up_1, … or import."""
    rank: int
    """Where the stage stands within its iteration."""
    formula: str
    """Reduced formula."""
    n_atoms: int
    """Number of atoms."""
    elements: list[str]
    """Chemical symbols, sorted."""
    volume_per_atom: float
    """Volume per atom (Å³)."""
    gain: float | None
    """ΔH when it was accepted; None for what bypassed the filter."""
    variance_gain: float | None = None
    """What it took off the unknown of the iteration's target, where it was chosen for that."""
    origin: dict[str, Any]
    """Where it came from: phase, temperature, k, pressure, mode, run, step, seed, model."""
    structure: dict[str, Any]
    """pymatgen's Structure, with initial moments as the site property `magmom`."""
    fingerprint: str
    """SHA-256 of its packed fingerprints."""
    digest: str
    """Digest of the ledger up to this entry."""
    created: datetime
    """When it was written."""


class FingerprintDocument(StoredDocument):
    """The fingerprints of an entry, packed without the components that are 0 for all atoms."""

    structure_id: str
    """Identifier of the entry."""
    fingerprint_hash: str
    """Hash of the fingerprint's settings."""
    campaign: str
    """Name of the campaign."""
    position: int
    """Position of the entry in the ledger."""
    shape: list[int]
    """Number of atoms and of components."""
    sha256: str
    """SHA-256 of the packed bytes."""
    data: bytes | None = None
    """The packed bytes, up to 1 MiB."""
    file: str | None = None
    """Name of the file in the GridFS bucket `arrays` that has them otherwise."""


class CovarianceDocument(StoredDocument):
    """Sufficient statistics of all entries before a position of the ledger."""

    campaign: str
    """Name of the campaign."""
    mode: Mode
    """Whether the statistics are of atoms or of cells."""
    fingerprint_hash: str
    """Hash of the fingerprint's settings."""
    regularization: float
    """λ of the covariance."""
    position: int
    """Position in the ledger up to which they are."""
    n: int
    """Number of vectors."""
    entropy: float
    """log det Σ."""
    checksum: str
    """Checksum of the statistics."""
    ledger: str | None
    """Digest of the ledger that they are of."""
    exclusions: int = 0
    """Number of rows of `exclusions` that count in them."""
    data: bytes | None = None
    """The statistics as bytes, up to 1 MiB."""
    file: str | None = None
    """Name of the file in the GridFS bucket `arrays` that has them otherwise."""


class BasisDocument(StoredDocument):
    """A frozen kernel basis, in which data sets are compared with targets."""

    campaign: str
    """Name of the campaign."""
    basis: str
    """SHA-256 of its numbers, by which it is known."""
    fingerprint_hash: str
    """Hash of the fingerprint's settings."""
    iteration: int
    """Iteration from whose target it was drawn."""
    settings: dict[str, Any]
    """Number of landmarks, length of the kernel, weight of cells, and the noise of a label."""
    dim: int
    """Number of features."""
    data: bytes | None = None
    """The basis as bytes, up to 1 MiB."""
    file: str | None = None
    """Name of the file in the GridFS bucket `arrays` that has them otherwise."""


class TargetDocument(StoredDocument):
    """The cells that stand for what a model is to be good at, without labels."""

    campaign: str
    """Name of the campaign."""
    iteration: int
    """Iteration whose selection has this target."""
    basis: str
    """Basis in which the data set is compared with it."""
    fingerprint_hash: str
    """Hash of the fingerprint's settings."""
    settings: dict[str, Any]
    """Number of landmarks, length of the kernel, weight of cells, and the noise of a label."""
    kind: str
    """plain, pool, or the file that the cells are from."""
    mix: float
    """Share of the iteration's candidates in it."""
    n: int
    """Number of cells."""
    sha256: str
    """SHA-256 of the bytes."""
    data: bytes | None = None
    """Cells, mean fingerprints and weights as bytes, up to 1 MiB."""
    file: str | None = None
    """Name of the file in the GridFS bucket `arrays` that has them otherwise."""


class PrecisionDocument(StoredDocument):
    """Statistics of all entries before a position of the ledger, beside a target."""

    campaign: str
    """Name of the campaign."""
    basis: str
    """The basis."""
    position: int
    """Position in the ledger up to which it is."""
    target: int
    """Iteration of the target."""
    n: int
    """Number of cells."""
    variance: float
    """V, the share of the target that is not known."""
    checksum: str
    """Checksum of the statistics."""
    ledger: str | None
    """Digest of the ledger that it is of."""
    exclusions: int = 0
    """Number of rows of `exclusions` that count in it."""
    data: bytes | None = None
    """The statistics as bytes, up to 1 MiB."""
    file: str | None = None
    """Name of the file in the GridFS bucket `arrays` that has them otherwise."""


class LabelDocument(StoredDocument):
    """A label of an entry, or the reason why there is none."""

    structure_id: str
    """Identifier of the entry."""
    engine_hash: str
    """Hash of the label engine's settings."""
    campaign: str
    """Name of the campaign."""
    key: str
    """Key of the entry."""
    position: int
    """Position of the entry in the ledger."""
    iteration: int
    """Iteration of the entry."""
    stage: str
    """Stage of the entry."""
    elements: list[str]
    """Chemical symbols of the cell."""
    condition: dict[str, Any]
    """Phase, temperature, k and pressure of the entry's origin."""
    content: str
    """Hash of the cell: equal for equal calculations of any campaign."""
    n_atoms: int
    """Number of atoms."""
    converged: bool
    """Whether the numbers may be trained on."""
    reason: str | None
    """Why they may not, in the fixed vocabulary."""
    evidence: str | None
    """The same in the engine's words."""
    energy: float | None
    """E₀ (eV)."""
    free_energy: float | None
    """Free energy (eV), which is trained on."""
    forces: list[list[float]] | None
    """Forces (n_atoms, 3) in eV/Å."""
    stress: list[list[float]] | None
    """Stress (3, 3) in eV/Å³, with ASE's sign; None if the engine gives none."""
    pressure: float | None
    """Pressure in GPa, positive under compression."""
    magmoms: list[float] | None = None
    """Final moments of the atoms (n_atoms,) in μ_B."""
    total_magmom: float | None = None
    """Final moment of the cell in μ_B."""
    wall_seconds: float | None
    """Wall time of the calculation; 0 if the label was copied."""
    provenance: dict[str, Any]
    """Engine, versions, settings and folder of the calculation."""
    split: str | None = None
    """train, val or test, once the cell is assigned."""
    given_split: str | None = None
    """The split that the cell came with, from a file or another campaign."""
    flagged: bool | None = None
    """True if the label is an outlier, which is not trained on."""
    odd: str | None = None
    """What is odd about a flagged label."""
    foreign: bool | None = None
    """True for an imported label of another engine, which is not trained on."""
    copied_from: dict[str, Any] | None = None
    """Campaign, key and wall time of the label of the same cell that this one copies."""
    created: datetime
    """When it was written."""


class ModelDocument(StoredDocument):
    """A model of a campaign; iteration 0 is the base model, -1 the student."""

    campaign: str
    """Name of the campaign."""
    iteration: int
    """Iteration that trained it; for a learning curve, the number of the point."""
    reference: str
    """Reference that jobs take: "sha256:…" of a file, or the name."""
    name: str
    """Name of the file, or of the model."""
    sha256: str | None
    """SHA-256 of the file; None for a named model."""
    file: Any
    """GridFS identifier of the file in the bucket `models`."""
    role: str | None = None
    """base or student; None for a trained one."""
    parent: str | None = None
    """Reference of the model that the training began with."""
    training: dict[str, Any] | None = None
    """What the training job returned."""
    trained_up_to: int | None = None
    """Position in the ledger up to which cells were trained on."""
    method: str | None = None
    """Method of a learning curve's point."""
    size: int | None = None
    """Training cells of a learning curve's point."""
    seed: int | None = None
    """Seed of a learning curve's point."""
    created: datetime
    """When it was written."""


class MemberDocument(ModelDocument):
    """A further member of an iteration's committee."""

    member: int
    """Number of the member, from 2; member 1 is the iteration's model."""


class ReplayDocument(StoredDocument):
    """Cells that the first model has labelled itself: no label engine's, and no ledger entries."""

    campaign: str
    """Name of the campaign."""
    replay_hash: str
    """Hash of the model, the campaign's seed and the parameters of the cells."""
    model: str
    """Reference of the model: the one that the first training starts from."""
    seed: int
    """The campaign's seed."""
    params: dict[str, Any]
    """Kinds and numbers of cells, as `train.replay` has them."""
    cells: list[dict[str, Any]]
    """Each cell: kind, source, held_out, numbers, cell (Å), positions (Å), energy (eV), forces
    (eV/Å) and stress (6,) in eV/Å³ or null.
    """
    refused: list[str]
    """Phases and cells that were left out, with the reason."""
    created: datetime
    """When it was written."""


class EquationDocument(StoredDocument):
    """The equation of state of a seed cell on a model, which says what volume a pressure is."""

    campaign: str
    """Name of the campaign."""
    model: str
    """Reference of the model: the campaign's base model."""
    cell_hash: str
    """Hash of the seed cell."""
    phase: str
    """Name of the phase."""
    volume: float | None
    """Volume of the minimum (Å³/atom); null if the model does not bind the phase."""
    bulk_modulus: float | None
    """Bulk modulus there (GPa)."""
    reason: str | None
    """Why there is none."""
    created: datetime
    """When it was fitted."""


class VersionDocument(ModelDocument):
    """A further version of an iteration's model, trained again on what was there later."""

    version: int
    """Number of the version, from 2; version 1 is the iteration's model."""
    replaced: str
    """Reference of the model that the campaign would go on from otherwise."""
    exclusions: int
    """Number of rows of `exclusions` that counted."""
    evaluate: dict[str, Any]
    """Errors of the replaced model and of this one, and which the campaign goes on from."""


class PredictionDocument(StoredDocument):
    """Predictions of an evaluation's models for the held-out cells, and for those it knows."""

    campaign: str
    """Name of the campaign."""
    iteration: int
    """Iteration whose model was evaluated."""
    version: int
    """1 for the iteration's model; from 2 for one that was trained again."""
    models: dict[str, str]
    """Role → reference of the model. `first` is the one that the first training starts from,
    `before` and `after` are those before and after this training.
    """
    cells: list[dict[str, Any]]
    """Each held-out cell: key, position, n_atoms, energy (eV/atom) and stress (6,) in eV/Å³ or
    null. Under each role: energy, stress, and `forces_mae` (eV/Å).
    """
    known_cells: list[dict[str, Any]] = []
    """The same of training cells, 2000 at most, and of validation cells, under `after` alone."""
    forces: dict[str, list[float]]
    """`label` and each role → force components (eV/Å) of all cells, 20 000 at most, by equal steps
    through them.
    """
    created: datetime
    """When it was written."""


class IterationDocument(StoredDocument):
    """The counts and decisions of an iteration's stages."""

    campaign: str
    """Name of the campaign."""
    iteration: int
    """Number of the iteration, from 1; 0 is what came before."""
    runs: list[dict[str, Any]] | None = None
    """The trajectories, without their snapshots."""
    select: dict[str, Any] | None = None
    """Counts, gains and entropies of the selection."""
    refine: dict[str, Any] | None = None
    """Counts, gains and entropies of the refinement."""
    label: dict[str, Any] | None = None
    """Labels requested, made and failed, with the reasons."""
    top_up: dict[str, Any] | None = None
    """Round → the cells that replace failed labels."""
    compile: dict[str, Any] | None = None
    """Whether the new model was compiled for the iterations to come, and why."""
    evaluate: dict[str, Any] | None = None
    """Errors before and after, and the model that the campaign goes on from."""
    ascend: dict[str, Any] | None = None
    """A search for cells without physics."""
    admit: dict[str, Any] | None = None
    """The whole data set without physics."""
    plan: dict[str, Any] | None = None
    """What was decided once: the first value stays. `settings` is what the iteration runs with."""
    import_: dict[str, Any] | None = None
    """Imported cells: how many, and the entropies before and after."""
    seconds: dict[str, float] | None = None
    """Job → wall time."""
    train: dict[str, Any] | None = None
    """What the training job returned."""
    environments: dict[str, Any] | None = None
    """Hash → name, Python and packages of an environment that a model of the iteration ran in."""
    updated: datetime
    """When it was last written."""


class PointDocument(StoredDocument):
    """A trained model of a learning curve."""

    campaign: str
    """Name of the curve's campaign."""
    iteration: int | None = None
    """Iteration of the curve's jobs."""
    method: str
    """Method that chose the training cells."""
    size: int
    """Number of training cells."""
    seed: int
    """Seed of the draw and of the training."""
    model: str
    """Reference of the model."""
    inputs_sha256: str | None = None
    """Hash of cells, recipe and base model."""
    trained_on: int | None = None
    """Training cells, without those that were left out."""
    validated_on: int | None = None
    """Validation cells."""
    epochs: int | None = None
    """Epochs of the training."""
    wall_seconds: float | None = None
    """Wall time of the training."""
    keys: list[str]
    """Campaign and key of each training cell."""
    errors: dict[str, dict[str, Any]]
    """Test → errors."""
    created: datetime
    """When it was written."""


class CheckDocument(StoredDocument):
    """A physics check of a model and a phase."""

    campaign: str
    """Name of the campaign."""
    model: str
    """Reference of the model, or "engine:" and the label engine's hash."""
    check: str
    """Name of the check."""
    phase: str
    """Name of the phase."""
    check_hash: str
    """Hash of all that decides the result beside the model."""
    result: dict[str, Any] | None = None
    """Result; None if there is none."""
    reason: str | None = None
    """Why there is no result."""
    seconds: float
    """Wall time."""
    title: str | None = None
    """Name of the model, for people."""
    params: dict[str, Any] | None = None
    """Parameters of the checks."""
    created: datetime
    """When it was written."""


class FailureDocument(StoredDocument):
    """A job that failed for a reason of its own."""

    campaign: str
    """Name of the campaign."""
    uuid: str
    """Identifier of the job."""
    iteration: int
    """Iteration of the job."""
    stage: str
    """Stage of the job."""
    title: str
    """What tells the job from the others of its stage."""
    message: str
    """The reason."""
    launch: int | None
    """Number of the launch that failed."""
    created: datetime
    """When it failed."""


class ExclusionDocument(StoredDocument):
    """A row that excludes an entry of the ledger from the data set, or includes it again."""

    campaign: str
    """Name of the campaign."""
    number: int
    """Number of the row, from 0 without gaps; the last one of an entry holds."""
    key: str
    """Key of the entry."""
    structure_id: str
    """Identifier of the entry."""
    position: int
    """Position of the entry in the ledger."""
    excluded: bool
    """True to exclude it, false to include it again."""
    why: str
    """The reason, in the user's words."""
    by: str
    """User and machine."""
    created: datetime
    """When it was said."""


class ApprovalDocument(StoredDocument):
    """A chosen cell that waits for an approval, or waited for one."""

    campaign: str
    """Name of the campaign."""
    key: str
    """Key of the entry."""
    structure_id: str
    """Identifier of the entry."""
    position: int
    """Position of the entry in the ledger."""
    iteration: int
    """Iteration of the entry."""
    job_uuid: str
    """Identifier of the job that waits for it."""
    created: datetime
    """When it began to wait."""
    approved: bool | None = None
    """Whether it was approved; not there while it waits."""
    why: str | None = None
    """Why it was rejected."""
    by: str | None = None
    """User and machine of the decision."""
    decided: datetime | None = None
    """When it was decided."""


DOCUMENTS: dict[str, type[StoredDocument]] = {
    "campaigns": CampaignDocument,
    "structures": StructureDocument,
    "fingerprints": FingerprintDocument,
    "covariances": CovarianceDocument,
    "bases": BasisDocument,
    "targets": TargetDocument,
    "precisions": PrecisionDocument,
    "labels": LabelDocument,
    "models": ModelDocument,
    "members": MemberDocument,
    "versions": VersionDocument,
    "replays": ReplayDocument,
    "equations": EquationDocument,
    "predictions": PredictionDocument,
    "iterations": IterationDocument,
    "points": PointDocument,
    "checks": CheckDocument,
    "failures": FailureDocument,
    "exclusions": ExclusionDocument,
    "approvals": ApprovalDocument,
}
"""Collection → class of its documents."""
PYTHON_NAMES = {"schema": "schema_", "import": "import_"}
"""Fields that Python takes no names for → names of the attributes."""


def validate_document(collection: str, document: dict[str, Any]) -> StoredDocument:
    """Validate a stored document by the class of its collection.

    Raises
    ------
    pydantic.ValidationError
        If it lacks a field, has another one, or a value is of another type.
    """
    fields = {
        PYTHON_NAMES.get(name, name): value for name, value in document.items() if name != "_id"
    }
    return DOCUMENTS[collection].model_validate(fields)
