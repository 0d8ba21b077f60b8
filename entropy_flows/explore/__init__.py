"""Drive molecular dynamics towards environments that differ from each other (paper A, sections 2.3.1 and 2.4.1)."""

from entropy_flows.explore.anchors import AnchorParams, keep_near_equilibrium
from entropy_flows.explore.conditions import Condition, ExploreParams, Run, condition_grid, draw_runs
from entropy_flows.explore.dynamics import Ensemble, explore
from entropy_flows.explore.independent import IndependentParams, equilibrium, relaxed
from entropy_flows.explore.phases import EquationOfState, Phase, compressed, equation_of_state, prescale, seed_cell
from entropy_flows.explore.trajectory import Trajectory

__all__ = [
    "AnchorParams",
    "Condition",
    "Ensemble",
    "EquationOfState",
    "ExploreParams",
    "IndependentParams",
    "Phase",
    "Run",
    "Trajectory",
    "compressed",
    "condition_grid",
    "draw_runs",
    "equation_of_state",
    "equilibrium",
    "explore",
    "keep_near_equilibrium",
    "prescale",
    "relaxed",
    "seed_cell",
]
