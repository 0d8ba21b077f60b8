"""Environments of other Pythons, in which models live whose packages cannot be installed here.

A campaign file names one beside a model, `{name: mace.model, environment: mace}`: by the name of a
folder in the setting `environments`, or by a path. `locate` finds it, `process` runs models in it.
`foreign` holds what its Python runs. docs/environments.md is the user's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.environments.locate import (
        ModelEnvironment,
        absolute_environment,
        find_environment,
    )
    from entropy_flows.environments.process import ModelProcess, RefusalError, processes_end_here
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = [
    "ModelEnvironment",
    "ModelProcess",
    "RefusalError",
    "absolute_environment",
    "find_environment",
    "processes_end_here",
]
