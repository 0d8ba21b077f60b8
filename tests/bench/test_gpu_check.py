"""`make gpu-check`: one line where there is no GPU, and a page of what was found."""

import sys

import pytest
import torch

from benchmarks import gpu_cases, gpu_check


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu_check", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        gpu_check.main()
    return end.value.code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("device", "message"), [("cuda", "no GPU here"), ("tpu", "--device tpu")])
def test_without_a_gpu_it_ends_with_a_line(monkeypatch, device, message):
    code = run(monkeypatch, "--device", device)
    assert code.startswith(f"gpu-check: {message}")
    assert "\n" not in code


def test_the_page_tells_what_was_not_good(monkeypatch, tmp_path):
    def broken(device):
        yield "first", 1e-9, 1e-6
        yield "second", 1.0, 1e-6
        raise RuntimeError("device-side assert | triggered")

    monkeypatch.setitem(gpu_cases.CASES, "resume", broken)
    page = tmp_path / "gpu.md"
    assert run(monkeypatch, "--device", "cpu", "--only", "resume", "--output", page) == 1
    text = page.read_text()
    assert "1 of 3 checks are good" in text
    assert "| first | 1.0e-09 | 1.0e-06 | ok |" in text
    assert "| second | 1.00 | 1.0e-06 | **not ok** |" in text
    assert "RuntimeError: device-side assert / triggered" in text


def test_checks_compare_with_the_cpu(monkeypatch, tmp_path):
    page = tmp_path / "gpu.md"
    assert run(monkeypatch, "--device", "cpu", "--only", "explosion", "--output", page) == 0
    assert "2 of 2 checks are good" in page.read_text()


def test_what_does_not_fit_the_time_is_said(monkeypatch, tmp_path):
    page = tmp_path / "gpu.md"
    arguments = ("--device", "cpu", "--only", "training", "--seconds", 1, "--output", page)
    assert run(monkeypatch, *arguments) == 1
    assert "training: not run | — | — | **not ok** the time was up" in page.read_text()
