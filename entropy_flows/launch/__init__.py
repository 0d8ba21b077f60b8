"""Running a campaign: submission, workers of this machine, and what to mend after one of them was killed."""

from entropy_flows.launch.local import LocalWorkers
from entropy_flows.launch.repair import RepairReport, repair
from entropy_flows.launch.submit import build_flow, submit

__all__ = ["LocalWorkers", "RepairReport", "build_flow", "repair", "submit"]
