"""How a model is trained where memory is short: same results, or results that later stages load as any other."""

from pathlib import Path

from boresight.pipeline.run import run_pipeline

from . import tiny_pipeline as tiny


def test_activation_checkpointing_changes_no_byte_of_any_artifact(built: Path, tmp_path: Path) -> None:
    pipeline = tiny.load(built / "data", *(f"stages.{name}.activation_checkpointing=true" for name in tiny.TRAINED))
    run_pipeline(pipeline, tmp_path / "run", say=lambda line: None)
    found, expected = tiny.artifacts(tmp_path / "run"), tiny.artifacts(built / "run")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == ["pipeline.yaml"]
