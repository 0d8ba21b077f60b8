"""Entropies: of one cell, of a dataset, and the surfaces they bias."""

from entropy_flows.entropy.dataset import DatasetParams
from entropy_flows.entropy.local import local_entropy
from entropy_flows.entropy.statistics import SufficientStatistics
from entropy_flows.entropy.surface import ExploreSurface, RefineSurface

__all__ = ["DatasetParams", "ExploreSurface", "RefineSurface", "SufficientStatistics", "local_entropy"]
