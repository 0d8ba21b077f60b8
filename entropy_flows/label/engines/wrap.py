"""Wrap a static Maker into its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from entropy_flows.label.engines.base import Engine
from entropy_flows.label.engines.cp2k import Cp2kEngine
from entropy_flows.label.engines.forcefield import ForceFieldEngine
from entropy_flows.label.engines.in_environment import EnvironmentEngine
from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.engines.torchsim import TorchSimEngine
from entropy_flows.label.engines.vasp import VaspEngine

if TYPE_CHECKING:
    from jobflow import Maker


@runtime_checkable
class HasEngine(Protocol):
    """A Maker that knows its engine."""

    def as_engine(self) -> Engine:
        """Return the engine of this Maker."""


def engine_of(maker: Maker) -> Engine:
    """Return what is known of the code that a static Maker runs.

    A Maker with a method `as_engine` answers for itself. Makers of atomate2 are recognised by
    what they have: an input set of VASP or CP2K, a model of torch-sim, or the calculator of a
    force field.

    Parameters
    ----------
    maker
        Any static Maker.
    """
    if isinstance(maker, HasEngine):
        return maker.as_engine()
    if VaspEngine.runs(maker):
        return VaspEngine(maker)
    if Cp2kEngine.runs(maker):
        return Cp2kEngine(maker)
    if EnvironmentEngine.runs(maker):
        return EnvironmentEngine(maker)
    if TorchSimEngine.runs(maker):
        return TorchSimEngine(maker)
    if ForceFieldEngine.runs(maker):
        return ForceFieldEngine(maker)
    return MakerEngine(maker)
