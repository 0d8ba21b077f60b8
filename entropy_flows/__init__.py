"""entropy_flows chooses what to label for a machine-learned interatomic potential.

The loop (Wang, Rao and Zhu, arXiv 2605.20384, Algorithm 1):

    explore    molecular dynamics on E_base - k S_local, towards environments that differ
    select     keep a snapshot only if it raises log det Σ of the data set's fingerprints
    refine     push near misses over the threshold on E_base - k log det Σ
    label      energies, forces and stresses from VASP or any atomate2 static Maker
    train      fine-tune the model on everything labelled so far
    evaluate   errors on cells held out for good; stop, or go round again

A folder per stage holds the numerics; `jobs` and `flows` make atomate2-style Makers of them;
`store` is the ledger in MongoDB; `cli` is the command `entropy-flows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.entropy import (
        ExploreSurface,
        RefineSurface,
        SufficientStatistics,
        local_entropy,
    )
    from entropy_flows.fingerprints import GOM
    from entropy_flows.flows import ActiveLearningMaker, IterationMaker
    from entropy_flows.frames import choose_frames
    from entropy_flows.schemas import Campaign, load_campaign
    from entropy_flows.select import LogDetSelector
    from entropy_flows.store import CampaignStore
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "GOM",
    "ActiveLearningMaker",
    "Campaign",
    "CampaignStore",
    "ExploreSurface",
    "IterationMaker",
    "LogDetSelector",
    "RefineSurface",
    "SufficientStatistics",
    "choose_frames",
    "load_campaign",
    "local_entropy",
]
__version__ = "0.1.0"
