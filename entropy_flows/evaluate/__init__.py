"""Errors of models against labels, diversity of data sets, and whether more labels are worth it."""

from entropy_flows.evaluate.advice import Advice, advise
from entropy_flows.evaluate.errors import Errors, Parity, errors, parity

__all__ = ["Advice", "Errors", "Parity", "advise", "errors", "parity"]
