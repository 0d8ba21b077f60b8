"""Entropies: of one cell, of a dataset, and the surfaces they bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.entropy.bias import Bias, BiasOutput, GlobalBias, LocalBias, SoftBias
    from entropy_flows.entropy.cell_basis import CellBasis, CellMeans
    from entropy_flows.entropy.criterion import Criterion
    from entropy_flows.entropy.dataset import DatasetParams
    from entropy_flows.entropy.local import local_entropies, local_entropy
    from entropy_flows.entropy.moments import MODES, Mode
    from entropy_flows.entropy.soft import soft_entropies, thermal_distance
    from entropy_flows.entropy.statistics import SufficientStatistics
    from entropy_flows.entropy.surface import BiasedSurface, ExploreSurface, RefineSurface
    from entropy_flows.entropy.target_bias import TargetBias
    from entropy_flows.entropy.variance_statistics import VarianceStatistics
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "MODES",
    "Bias",
    "BiasOutput",
    "BiasedSurface",
    "CellBasis",
    "CellMeans",
    "Criterion",
    "DatasetParams",
    "ExploreSurface",
    "GlobalBias",
    "LocalBias",
    "Mode",
    "RefineSurface",
    "SoftBias",
    "SufficientStatistics",
    "TargetBias",
    "VarianceStatistics",
    "local_entropies",
    "local_entropy",
    "soft_entropies",
    "thermal_distance",
]
