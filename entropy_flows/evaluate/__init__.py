"""Errors of models against labels, diversity of data sets, and whether more labels are worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entropy_flows.lazy import lazy_names

if TYPE_CHECKING:
    from entropy_flows.evaluate.advice import Advice, advise
    from entropy_flows.evaluate.errors import Errors, Parity, parity
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)

__all__ = ["Advice", "Errors", "Parity", "advise", "parity"]
