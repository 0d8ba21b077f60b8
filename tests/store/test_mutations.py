"""Whatever field is changed or deleted, `verify` names it, or there is a reason why it need not.

Here each field is changed or deleted; a slow test does both, to a campaign that has run.
"""

import pytest
from mutations import missed
from small_campaign import furnish, small_campaign


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    with small_campaign(server, tmp_path_factory.mktemp("mutations"), "test_mutations") as opened:
        furnish(*opened)
        yield opened


def test_every_field_is_named_or_free(campaign):
    assert missed(*campaign, alternate=True) == []
