"""The constants that all jobs of one iteration share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from monty.json import MSONable

from entropy_flows.entropy import DatasetParams
from entropy_flows.label import OutlierParams


@dataclass(frozen=True)
class IterationContext(MSONable):
    """The constants that all jobs of one iteration share.

    A flow makes it once, from the fields that its Maker holds, and gives it to each job.

    Attributes
    ----------
    campaign
        Name of the campaign in the database.
    iteration
        Number of the iteration, from 1.
    model
        Reference of the model that explores.
    seed
        Seed of everything random.
    dataset
        Fingerprint and regularisation of the covariance.
    engine_hash
        Hash of the label engine's settings; empty without an engine.
    outliers
        Limits beyond which a label is flagged instead of trained on.
    """

    campaign: str
    iteration: int
    model: str = ""
    seed: int = 42
    dataset: DatasetParams = field(default_factory=DatasetParams)
    engine_hash: str = ""
    outliers: OutlierParams = field(default_factory=OutlierParams)

    def of_iteration(self, number: int) -> IterationContext:
        """Return the same constants for another iteration."""
        return replace(self, iteration=number)
