"""A campaign's settings, read off its Makers: what a campaign file would say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from entropy_flows.explore import Phase
from entropy_flows.explore.phases import Lengths
from entropy_flows.label.engines.maker import CustomParams
from entropy_flows.params import Params
from entropy_flows.potentials import locate_model
from entropy_flows.schemas import Campaign

if TYPE_CHECKING:
    from entropy_flows.flows.active_learning import ActiveLearningMaker
    from entropy_flows.flows.iteration import IterationMaker

Structures = Structure | Sequence[Structure] | Mapping[str, Structure]


def named_seeds(structures: Structures) -> dict[str, Structure]:
    """Name seed cells; those without a name of their own have their formula, and a number."""
    if isinstance(structures, Mapping):
        return dict(structures)
    cells = [structures] if isinstance(structures, Structure) else structures
    seeds: dict[str, Structure] = {}
    for cell in cells:
        formula = cell.composition.reduced_formula
        name = formula
        number = 1
        while name in seeds:
            number += 1
            name = f"{formula}-{number}"
        seeds[name] = cell
    return seeds


def elements_of(seeds: Mapping[str, Structure]) -> tuple[str, ...]:
    """List the elements of seed cells, in the order of their appearance."""
    symbols = [site.specie.symbol for cell in seeds.values() for site in cell]
    return tuple(dict.fromkeys(symbols))


def with_elements(maker: ActiveLearningMaker, elements: tuple[str, ...]) -> ActiveLearningMaker:
    """Return a campaign's Makers with fingerprints of these elements where they name none."""

    def complete(params: Any) -> Any:
        return params if params.elements else params.model_copy(update={"elements": elements})

    fingerprint = complete(maker.dataset.fingerprint)
    iterations = []
    for stages in maker.iterations:
        explore = replace(stages.explore, fingerprint=complete(stages.explore.fingerprint))
        iterations.append(replace(stages, explore=explore))
    dataset = maker.dataset.model_copy(update={"fingerprint": fingerprint})
    return replace(maker, dataset=dataset, iterations=iterations)


def describe_campaign(
    maker: ActiveLearningMaker, name: str, seeds: Mapping[str, Structure]
) -> Campaign:
    """Write a campaign's Makers and seed cells as the settings that its document holds.

    Parameters
    ----------
    maker
        The campaign's Makers, with the elements of the seeds.
    name
        Name of the campaign.
    seeds
        Phase → seed cell.
    """
    label = maker.plan.label
    fingerprint = maker.dataset.fingerprint.model_dump(exclude_unset=True)
    student = maker.student
    return Campaign(
        name=name,
        elements=elements_of(seeds),
        seed=maker.seed,
        base_model=locate_model(maker.base_model, Path.cwd()),
        student=None if student is None else locate_model(student, Path.cwd()),
        phases=tuple(_phase(phase, cell) for phase, cell in seeds.items()),
        global_fingerprint=fingerprint,
        regularization=maker.dataset.regularization,
        label=CustomParams(
            maker=maker.engine.as_dict(),
            batch_size=maker.plan.batch_size,
            approve=maker.plan.approve,
            top_up=maker.iterations[0].top_ups,
            outliers=maker.outliers,
            scf_retries=label.scf_retries,
            keep_documents=label.keep_documents,
            min_distance_fraction=label.min_distance_fraction,
        ),
        stop=maker.stop.model_copy(update={"max_iterations": maker.last}),
        iterations=tuple(_iteration(stages) for stages in maker.iterations),
    )


def stage_sections(stages: IterationMaker) -> dict[str, Params]:
    """Return the parameters of an iteration's stages by section of a campaign file."""
    return {
        "explore": stages.explore.params,
        "anchors": stages.anchor.params,
        "select": stages.select.params,
        "refine": stages.refine.params,
        "train": stages.train.params,
        "local_fingerprint": stages.explore.fingerprint,
    }


def _iteration(stages: IterationMaker) -> dict[str, Any]:
    """Write the stages of an iteration as a campaign file's changes of its sections."""
    return {
        name: params.model_dump(mode="json", exclude_unset=True)
        for name, params in stage_sections(stages).items()
    }


def _phase(name: str, cell: Structure) -> Phase:
    """Write a seed cell as a phase, its atoms one by one."""
    sites: dict[str, tuple[tuple[float, float, float], ...]] = {}
    for site in cell:
        x, y, z = site.frac_coords.tolist()
        sites[site.specie.symbol] = (*sites.get(site.specie.symbol, ()), (x, y, z))
    lattice = cell.lattice
    return Phase(
        name=name,
        spacegroup=1,
        lattice=Lengths(
            a=lattice.a,
            b=lattice.b,
            c=lattice.c,
            alpha=lattice.alpha,
            beta=lattice.beta,
            gamma=lattice.gamma,
        ),
        sites=sites,
        max_atoms=max(64, len(cell)),
    )
