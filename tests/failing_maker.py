"""A static Maker whose every calculation fails."""

from dataclasses import dataclass

from jobflow import Maker, job


@dataclass
class FailingMaker(Maker):
    name: str = "failing static"

    @job
    def make(self, structure, prev_dir=None):
        raise RuntimeError("the engine crashed")


always_fails = FailingMaker()
