"""The three biases, of a small data set of silicon, and cells that they are tried on."""

from __future__ import annotations

from cells import rattled, skewed

from entropy_flows.biases import dataset_bias, local_bias, soft_bias, target_bias
from entropy_flows.entropy import DatasetParams
from entropy_flows.fingerprints import GOMParams
from entropy_flows.select import VarianceSelector

DATASET = DatasetParams(fingerprint=GOMParams(cutoff=3.5, natx=16))
KNOWN = [rattled(seed=seed, repeat=1) for seed in range(6)]
CELLS = [rattled(seed=7, stdev=0.3), skewed("Si5", 1), rattled(seed=8, repeat=1, stdev=0.2)]
BIASES = {
    "local": lambda: local_bias(["Si"]),
    "soft": lambda: soft_bias(KNOWN[:1]),
    "dataset": lambda: dataset_bias(KNOWN, DATASET),
    "configurations": lambda: dataset_bias(KNOWN, DATASET, mode="config"),
    "target": lambda: target_bias(
        [*KNOWN, *CELLS], KNOWN[:2], DATASET, VarianceSelector(length=2.0, landmarks=8)
    ),
}
