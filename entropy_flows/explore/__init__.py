"""Drive molecular dynamics towards environments that differ from each other.

Source: Wang 2026, sections 2.3.1 and 2.4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.explore.anchors import AnchorParams, keep_near_equilibrium
    from entropy_flows.explore.cells import (
        Reference,
        ShapeParams,
        Window,
        for_element,
        random_cell,
        reference_state,
        windows,
    )
    from entropy_flows.explore.compression import (
        EquationOfState,
        UnboundPhaseError,
        compressed,
        equation_of_state,
        prescale,
    )
    from entropy_flows.explore.conditions import (
        Condition,
        ExploreParams,
        Run,
        condition_grid,
        draw_runs,
        grid_phases,
    )
    from entropy_flows.explore.dynamics import Ensemble, explore
    from entropy_flows.explore.independent import equilibrium, relaxed
    from entropy_flows.explore.independent_params import IndependentParams
    from entropy_flows.explore.phases import Phase
    from entropy_flows.explore.revem import AcceptedCell, RevEM, random_cells
    from entropy_flows.explore.revem_params import AscentParams, RevEMParams, StrengthParams
    from entropy_flows.explore.seeds import Seed, build_seed, seed_cell
    from entropy_flows.explore.trajectory import Trajectory
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "AcceptedCell",
    "AnchorParams",
    "AscentParams",
    "Condition",
    "Ensemble",
    "EquationOfState",
    "ExploreParams",
    "IndependentParams",
    "Phase",
    "Reference",
    "RevEM",
    "RevEMParams",
    "Run",
    "Seed",
    "ShapeParams",
    "StrengthParams",
    "Trajectory",
    "UnboundPhaseError",
    "Window",
    "build_seed",
    "compressed",
    "condition_grid",
    "draw_runs",
    "equation_of_state",
    "equilibrium",
    "explore",
    "for_element",
    "grid_phases",
    "keep_near_equilibrium",
    "prescale",
    "random_cell",
    "random_cells",
    "reference_state",
    "relaxed",
    "seed_cell",
    "windows",
]
