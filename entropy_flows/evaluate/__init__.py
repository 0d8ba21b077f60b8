"""How good a model is: errors against labels."""

from entropy_flows.evaluate.errors import Errors, Parity, errors, parity

__all__ = ["Errors", "Parity", "errors", "parity"]
