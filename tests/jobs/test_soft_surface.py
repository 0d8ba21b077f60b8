"""The exploration job on the soft surface: its floor is that of the grid's seeds."""

import pytest
from ase.build import bulk
from cells import rattled

from entropy_flows.batch import Batch
from entropy_flows.entropy import SoftBias, thermal_distance
from entropy_flows.explore import ExploreParams
from entropy_flows.fingerprints import GOM, GOMParams
from entropy_flows.geometry import to_structure
from entropy_flows.jobs.explore import ExploreMaker

SEEDS = {"diamond": bulk("Si") * (2, 2, 1), "beta-tin": bulk("Si", "bct", a=4.7, c=2.6)}
LOCAL = GOMParams(cutoff=3.0, natx=20, elements=("Si",))


@pytest.mark.parametrize("phases", [None, ("beta-tin",)])
def test_floor_and_softness_follow_from_seeds_and_file(phases):
    params = ExploreParams(surface="soft", softness=0.25, thermal_displacement=0.04, phases=phases)
    seeds = {phase: to_structure(atoms) for phase, atoms in SEEDS.items()}
    bias = ExploreMaker(params=params, fingerprint=LOCAL)._bias(None, None, seeds)
    fingerprint = GOM(**dict(LOCAL))
    cells = [SEEDS[phase] for phase in phases or SEEDS]
    floor = thermal_distance(fingerprint, cells, 0.04)
    assert isinstance(bias, SoftBias)
    assert bias.floor == pytest.approx(floor, rel=1e-6)
    batch = Batch.of([rattled()])
    expected = SoftBias(fingerprint, floor, 0.25)(batch, ["atom"])
    assert float(bias(batch, ["atom"]).value) == pytest.approx(float(expected.value), abs=1e-6)
