"""A campaign that has run, each of its fields changed once: `verify` names it, or there is a reason
why it need not.
"""

import pytest
from mutations import lines, missed
from test_loop import campaign_file, command

from entropy_flows.launch.launchpad import launchpad
from entropy_flows.launch.session import open_stored
from entropy_flows.store import verify_context

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_every_field_is_named_or_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify_context, "SETTLE_SECONDS", 0.0)
    train = {"preset": "small", "max_epochs": 2, "committee": 2}
    file = campaign_file(tmp_path, train=train)
    done = command("run", file, "--workers", 1, timeout=1800)
    assert done.returncode == 0, done.stderr
    with open_stored(file, None) as opened:
        pad = launchpad()
        assert list(lines(opened.store, pad)) == []
        assert missed(opened.store, pad) == []
