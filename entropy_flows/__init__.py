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

from entropy_flows.lazy import lazy_names

_HOME = {
    "GOM": "fingerprints",
    "local_entropy": "entropy",
    "SufficientStatistics": "entropy",
    "ExploreSurface": "entropy",
    "RefineSurface": "entropy",
    "LogDetSelector": "select",
    "ActiveLearningMaker": "flows",
    "IterationMaker": "flows",
    "Campaign": "schemas",
    "load_campaign": "schemas",
    "CampaignStore": "store",
}
__all__ = list(_HOME)
__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(__name__, _HOME)
