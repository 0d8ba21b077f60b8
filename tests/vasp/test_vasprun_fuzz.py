"""Two hundred damaged vasprun.xml: every step is read or told in one short line, at once, and nothing is raised."""

import time

import numpy as np
from damage import Damage
from test_standin_md import MD, run_vasp

from entropy_flows.label.existing import StepRule, read_files

FILES = 200
DAMAGE = Damage(
    names=("calculation", "energy", "varray", "forces", "stress", "structure", "basis", "positions", "e_fr_energy"),
    words=("********", "nan", "-0.431D+02", "1e999", "<", "&", "</v>", "<v>", "", "9" * 30, "\x00", "T"),
    lines=("<calculation>\n", "</calculation>\n", "<v> 0.0 0.0 </v>\n", "<set>\n", "\n", "<!-- \n"),
)


def test_two_hundred_damaged_runs(tmp_path, monkeypatch):
    whole = run_vasp(tmp_path / "run", monkeypatch, **MD).read_text().splitlines(keepends=True)
    rng = np.random.default_rng(18)
    path = tmp_path / "vasprun.xml"
    longest = ""
    slowest = 0.0
    read = refused = 0
    for _ in range(FILES):
        path.write_text(DAMAGE.of(whole, rng))
        start = time.process_time()
        try:
            frames = list(read_files(path, StepRule.parse("all")))
        except ValueError as err:
            refused += 1
            messages = [str(err)]
        else:
            messages = [frame.defect for frame in frames if frame.defect]
            read += sum(frame.defect is None for frame in frames)
        slowest = max(slowest, time.process_time() - start)
        longest = max([longest, *messages], key=len)
    print(f"{FILES} files: {read} steps read, {refused} refused, slowest {slowest:.2f} s, longest {len(longest)}")
    assert read > FILES
    assert len(longest) < 300
    assert "\n" not in longest
