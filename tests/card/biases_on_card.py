"""Neighbours, fingerprints, biases, surfaces, refinement and ascent: on the card as on the CPU."""

import numpy as np
import pytest
import torch
from cells import Spring, rattled, skewed
from pretend_card import NAME, Card

from entropy_flows.batch import Batch
from entropy_flows.biases.term import BiasTerm
from entropy_flows.entropy import (
    CellBasis,
    CellMeans,
    ExploreSurface,
    GlobalBias,
    LocalBias,
    RefineSurface,
    SoftBias,
    SufficientStatistics,
    TargetBias,
    VarianceStatistics,
)
from entropy_flows.explore.ascent import Objective, ascend
from entropy_flows.explore.core import core_repulsion
from entropy_flows.explore.revem_params import AscentParams
from entropy_flows.fingerprints import GOM
from entropy_flows.geometry import shortest_distances
from entropy_flows.neighbors import neighbors
from entropy_flows.potentials import OneByOne
from entropy_flows.refine import RefineParams, refine

SI = [rattled(seed=1), rattled(seed=2, stdev=0.2), skewed("Si5", 1), rattled(repeat=1, seed=3)]
KNOWN = [rattled(seed=seed, repeat=1, stdev=0.2) for seed in range(10, 16)]
SMALL = {"cutoff": 3.0, "natx": 8, "elements": ("Si",)}


@pytest.fixture(autouse=True)
def card():
    with Card() as card:
        yield card
    assert not card.unrepeatable  # every operation has a deterministic form


def statistics(mode="atom"):
    gom = GOM(**SMALL)
    statistics = SufficientStatistics(gom.dim, mode=mode)
    for q in gom(KNOWN):
        statistics.add(q)
    return statistics


def variance():
    prints = GOM(**SMALL)([*KNOWN, *SI])
    target = CellMeans.of(prints)
    variance = VarianceStatistics.of_target(CellBasis.drawn(target, 8, 1.0), target, 0.3)
    for q in prints[:3]:
        variance.add(q)
    return variance


BIASES = {
    "local": lambda: LocalBias(GOM(**SMALL)),
    "soft": lambda: SoftBias(GOM(**SMALL), floor=0.02),
    "atoms": lambda: GlobalBias(GOM(**SMALL), {"atom": statistics()}),
    "configurations": lambda: GlobalBias(GOM(**SMALL), {"config": statistics("config")}),
    "paper": lambda: GlobalBias(GOM(**SMALL), {"atom": statistics()}, "paper"),
    "target": lambda: TargetBias(GOM(**SMALL), variance()),
}


@pytest.mark.parametrize("itself", [False, True])
def test_neighbours(itself):
    expected = neighbors(Batch.of(SI), 4.0, itself=itself)
    pairs = neighbors(Batch.of(SI, NAME), 4.0, itself=itself)

    def rows(found):
        columns = [found.centers[:, None], found.members[:, None], found.shifts, found.vectors]
        table = torch.cat([column.double().cpu() for column in columns], dim=1).numpy()
        return table[np.lexsort(table[:, :5].T)]

    np.testing.assert_allclose(rows(pairs), rows(expected), atol=1e-12)


@pytest.mark.parametrize(
    ("symbols", "species"),
    [("Si8", "pairs"), ("Si3O4", "center"), ("NaCl2Mg2O2Si", "pairs"), ("SiC", "single")],
)
def test_fingerprints(symbols, species):
    cells = [skewed(symbols, seed) for seed in range(3)]
    blocks = GOM(cutoff=3.5, natx=12, species=species)(cells[0]).shape[1] // 12
    gom = GOM(cutoff=3.5, natx=12, species=species, scale=[0.5 + b for b in range(blocks)])
    on_cpu = gom.spectra(Batch.of(cells))
    on_card = gom.spectra(Batch.of(cells, NAME))
    np.testing.assert_allclose(on_card.q.cpu(), on_cpu.q, atol=1e-11)
    w = torch.linspace(1, 2, on_cpu.q.numel(), dtype=torch.float64).view(on_cpu.q.shape)
    for one, other in zip(on_card.pullback(w.to(NAME)), on_cpu.pullback(w), strict=True):
        np.testing.assert_allclose(one.cpu(), other, atol=1e-7)


@pytest.mark.parametrize("name", BIASES)
def test_biases(name):
    bias = BIASES[name]()
    modes = ["config" if name == "configurations" else "atom"] * len(SI)
    on_cpu = bias(Batch.of(SI), modes)
    batch = Batch.of(SI, NAME)
    on_card = bias(batch, modes)
    for part in ("value", "measure", "gradient", "strain"):
        one, other = getattr(on_card, part), getattr(on_cpu, part)
        np.testing.assert_allclose(one.cpu(), other, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(bias.measure(batch, modes).cpu(), on_cpu.measure, rtol=1e-9)


def test_a_term_of_another_program():
    batch = Batch.of(SI, NAME)
    cells = batch.cells
    pbc = torch.from_numpy(cells.pbc)
    term = BiasTerm(LocalBias(GOM(**SMALL, device=NAME)), 0.5)
    on_card = term(batch.positions, cells.species, cells.vectors, pbc.to(NAME), cells.owner)
    on_cpu = BiasTerm(LocalBias(GOM(**SMALL)), 0.5)(
        batch.positions.cpu(), cells.species.cpu(), cells.vectors.cpu(), pbc, cells.owner.cpu()
    )
    for part in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(on_card, part).cpu(), getattr(on_cpu, part), atol=1e-8)


@pytest.mark.parametrize("surface", [
    lambda gom: ExploreSurface(Spring(), gom, 2.0),
    lambda gom: RefineSurface(Spring(), gom, statistics(), 2.0),
    lambda gom: RefineSurface(Spring(), gom, variance(), 2.0),
])  # fmt: skip
def test_surfaces(surface):
    results = []
    for device in ("cpu", NAME):
        atoms = SI[1].copy()
        atoms.calc = surface(GOM(**SMALL, device=device))
        results.append([atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_refinement_and_ascent():
    refined, highest = [], []
    for device in ("cpu", NAME):
        gom = GOM(**SMALL, device=device)
        params = RefineParams(max_steps=3)
        refined += refine(SI[:2], OneByOne(Spring(), device), gom, statistics(), params)
        height = Objective(0.1, 1.5, gom, statistics())
        highest += ascend([SI[0], SI[3]], height, AscentParams(max_steps=3))
    assert refined[0].gain_after > refined[0].gain_before
    for one, other in zip(refined[:2], refined[2:], strict=True):
        np.testing.assert_allclose(other.atoms.positions, one.atoms.positions, atol=1e-6)
    for one, other in zip(highest[:2], highest[2:], strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-8)


def test_distances_and_repulsion():
    on_cpu, on_card = Batch.of(SI), Batch.of(SI, NAME)
    for one, other in zip(shortest_distances(on_card), shortest_distances(on_cpu), strict=True):
        np.testing.assert_allclose(one.cpu(), other)
    one, other = core_repulsion(on_card, 2.6), core_repulsion(on_cpu, 2.6)
    for part in ("value", "gradient", "closest"):
        np.testing.assert_allclose(getattr(one, part).cpu(), getattr(other, part), atol=1e-12)
