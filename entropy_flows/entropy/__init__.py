"""Entropies: of one cell, of a dataset, and the surfaces they bias."""

from entropy_flows.entropy.dataset import DatasetParams
from entropy_flows.entropy.local import local_entropy
from entropy_flows.entropy.statistics import MODES, Mode, SufficientStatistics
from entropy_flows.entropy.surface import BiasedSurface, ExploreSurface, RefineSurface

__all__ = [
    "MODES",
    "BiasedSurface",
    "DatasetParams",
    "ExploreSurface",
    "Mode",
    "RefineSurface",
    "SufficientStatistics",
    "local_entropy",
]
