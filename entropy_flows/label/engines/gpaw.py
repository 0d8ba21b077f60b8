"""GPAW as a label engine: the preset's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from entropy_flows.label.engines.ase_static import AseStaticParams

if TYPE_CHECKING:
    from jobflow import Maker


class GpawParams(AseStaticParams):
    """GPAW in plane waves with PBE: density functional theory without a licence."""

    engine: Literal["gpaw-pbe"] = "gpaw-pbe"
    """Names this engine."""

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
        return GPAWStaticMaker(**self.maker_fields())
