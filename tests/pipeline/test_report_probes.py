"""The chapter on probes, from comparisons that the evaluation itself makes."""

from pathlib import Path

from boresight.evaluation.probe_comparison import compare_probes
from boresight.evaluation.probe_items import Given, Probe
from boresight.records import Message
from boresight.storage import read_json, write_json
from tests.pipeline.test_report import build_run, read_page


def test_what_got_worse_and_what_differs_is_told_for_each_candidate(tmp_path: Path) -> None:
    probes = [Probe(id=f"s{i}", kind="refusal_safe", messages=(Message("user", f"q{i}"),)) for i in range(30)]
    helps = {p.id: Given(text=f"Use tool number {i}.") for i, p in enumerate(probes)}
    refuses = {p.id: Given(text=f"I can't help with that, number {i}.") for i, p in enumerate(probes)}
    compared = {"ppo": compare_probes(probes, refuses, helps), "dpo": compare_probes(probes, helps, helps)}
    run = build_run(tmp_path / "run")
    result = run / "stages/compare/result.json"
    write_json(result, {**read_json(result), "probes": compared})
    text = read_page(run).text
    assert "What else changed: 30 behaviour probes" in text
    assert "ppo is worse in refuses safe and shared opening than demo" in text and "it differs in words" in text
    assert "dpo is not shown to be better or worse than demo" in text
    assert "All measures of ppo beside demo" in text


def test_a_run_without_probes_has_no_such_chapter(tmp_path: Path) -> None:
    assert "What else changed" not in read_page(build_run(tmp_path / "run")).text
