"""How good a model is: errors against labels, and whether more labels are worth their cost."""

from entropy_flows.evaluate.advice import Advice, advise
from entropy_flows.evaluate.errors import Errors, Parity, errors, parity

__all__ = ["Advice", "Errors", "Parity", "advise", "errors", "parity"]
