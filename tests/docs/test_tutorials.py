"""The tutorials run word by word, and print what their pages show."""

import pytest
from page_blocks import run_page

TUTORIALS = ["tutorials/silicon.md", "tutorials/own-system.md"]


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_begins_with_a_file_that_is_valid(page, tmp_path):
    run_page(page, tmp_path, until="entropy-flows check")
    from entropy_flows import load_campaign

    (file,) = tmp_path.glob("*/campaign.yaml")
    assert load_campaign(file).stop.max_iterations == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_from_its_first_line_to_its_last(page, tmp_path):
    pytest.importorskip("secantus")
    pytest.importorskip("sevenn")
    run_page(page, tmp_path)
