"""What is tried when VASP's electronic steps run out: settings that lead to the same numbers another way.

Each step is one run more, in a folder of its own, and custodian does not go through its own list of
algorithms on it. A converged result does not depend on any of these tags, so the label keeps its
settings' hash.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from entropy_flows.label.engines import is_vasp

if TYPE_CHECKING:
    from jobflow import Maker

# Custodian has tried ALGO = All and a small BMIX by then; VASP's manual goes on with smaller steps.
STEPS: tuple[dict[str, Any], ...] = (
    {
        "ALGO": "All",
        "TIME": 0.2,
        "NELM": 300,
    },  # direct minimisation, half the trial step; no mixing to slosh
    {
        "ALGO": "Normal",
        "AMIX": 0.05,
        "BMIX": 1e-4,
        "NELMDL": -12,
        "NELM": 400,
    },  # nearly linear mixing, late
    {"ALGO": "Damped", "TIME": 0.1, "NELM": 500},
)
_CLIMBERS = ("UnconvergedErrorHandler", "NonConvergingErrorHandler")


def scf_changes(maker: Maker, steps: int) -> tuple[dict[str, Any], ...]:
    """INCAR changes to try one after the other, at most so many; none for an engine that is not VASP."""
    return STEPS[:steps] if is_vasp(maker) else ()


def with_changes(maker: Maker, changes: dict[str, Any]) -> Maker:
    """Copy of a VASP Maker with these INCAR tags, whose custodian leaves a run that does not converge alone.

    Parameters
    ----------
    maker
        VASP static Maker; it is left as it was.
    changes
        INCAR tags and values.

    Returns
    -------
    Maker
        The copy.
    """
    from atomate2.vasp.run import DEFAULT_HANDLERS

    other: Any = copy.deepcopy(maker)
    generator = other.input_set_generator
    generator.user_incar_settings = {**generator.user_incar_settings, **changes}
    if hasattr(other, "run_vasp_kwargs"):
        handlers = other.run_vasp_kwargs.get("handlers", DEFAULT_HANDLERS)
        kept = [handler for handler in handlers if type(handler).__name__ not in _CLIMBERS]
        other.run_vasp_kwargs = {**other.run_vasp_kwargs, "handlers": kept}
    return other
