"""The tutorials run word by word, and print what their pages show."""

import pytest
from page_blocks import blocks, compare, run_page

from entropy_flows import load_campaign

TUTORIALS = ["tutorials/silicon.md", "tutorials/own-system.md"]
PEROVSKITE = {
    "--cells 200 --epochs 40": "--cells 20 --epochs 2",
    "temperatures: [300, 1000, 2000]": "temperatures: [300]",
    "steps: 20": "steps: 8",
    "max_labels: 30": "max_labels: 8",
    "label_budget: 30": "label_budget: 8",
    "preset: small ": "preset: small\n  max_epochs: 2 ",
}
"""Text of the tutorial on SrTiO₃, which takes half an hour → what a test runs instead."""


@pytest.mark.parametrize("page", [*TUTORIALS, "tutorials/perovskite.md"])
def test_the_campaign_file_of_a_tutorial_is_valid(page, tmp_path):
    (file,) = [block for block in blocks(page) if (block.title or "").endswith("campaign.yaml")]
    (tmp_path / "campaign.yaml").write_text(file.text)
    assert load_campaign(tmp_path / "campaign.yaml").stop.max_iterations == 1


def test_an_output_that_differs_is_noticed():
    compare("labelled 30", "│ labelled │ 31 │", 0.05)
    for output in ("│ labelled │ 40 │", "│ failed labels │ 30 │"):
        with pytest.raises(AssertionError):
            compare("labelled 30", output, 0.05)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_from_its_first_line_to_its_last(page, tmp_path):
    pytest.importorskip("secantus")
    pytest.importorskip("sevenn")
    run_page(page, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tutorial_with_a_student_runs_in_miniature(tmp_path):
    pytest.importorskip("secantus")
    pytest.importorskip("sevenn")
    run_page("tutorials/perovskite.md", tmp_path, PEROVSKITE)
    names = {path.name for path in tmp_path.rglob("*.nequip.zip")}
    assert {"srtio3-student.nequip.zip", "srtio3-1.nequip.zip"} <= names
