"""GPAW as a label engine: the preset's parameters, and what decides GPAW's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.params import LabelParams

if TYPE_CHECKING:
    from jobflow import Maker

    from entropy_flows.label.gpaw import GPAWStaticMaker


class GpawParams(LabelParams):
    """GPAW in plane waves with PBE: density functional theory without a licence."""

    engine: Literal["gpaw-pbe"] = "gpaw-pbe"
    """Names this engine."""
    kpoint_length: float = Field(40.0, gt=0)
    """Length ℓ of the k-point rule (Å)."""
    cutoff: float = Field(600.0, gt=0)
    """Plane-wave cutoff (eV)."""
    smearing: float = Field(0.05, gt=0)
    """Gaussian smearing (eV)."""
    walltime: float | None = Field(None, gt=0)
    """Time after which a calculation is given up (s)."""
    calculator_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of GPAW on top of the preset."""

    def make_maker(self) -> Maker:
        """Build the Maker of a single point.

        Raises
        ------
        EngineError
            If GPAW or its setups are not installed here. Whoever plans the labels needs them, since
            the hash contains their versions.
        """
        from entropy_flows.label.gpaw import GPAWStaticMaker, installed_gpaw

        installed_gpaw()
        common = set(LabelParams.model_fields)
        return GPAWStaticMaker(**self.model_dump(exclude=common))


class GpawEngine(MakerEngine):
    """GPAW in this process; a label takes minutes, so it is no engine in memory.

    Its calculator is not handed out: a relaxation with it takes hours, and belongs on a worker of
    its own.
    """

    maker: GPAWStaticMaker

    @property
    def has_spin(self) -> bool | None:
        """False: the preset is without spin."""
        return False

    @property
    def name(self) -> str:
        """GPAW and the functional."""
        return f"GPAW {self.maker.parameters()['xc']}"

    def hash_input(self) -> dict[str, Any]:
        """Return GPAW's version and parameters, and the content of its setups."""
        return self.maker.deciding_parameters()

    def provenance(self) -> dict[str, Any]:
        """Return the engine's name and all that decides its numbers."""
        return {**super().provenance(), "engine_settings": self.hash_input()}
