"""What an actor does, asked directly."""

from pathlib import Path

import pytest
import torch

from boresight.models.generate import draws, generate
from boresight.models.loading import load_causal_lm
from boresight.pipeline.run import run_pipeline

from . import pipelines

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

from boresight.launch.ray.remote_roles import parts
from boresight.launch.ray.worker import RoleWorker, Source


@pytest.mark.parametrize("rows", [0, 1, 5, 6])
def test_rows_are_cut_evenly_in_order_and_without_empty_parts(rows: int) -> None:
    found = [part for _, part in parts(rows, ["a", "b", "c"])]
    assert [row for part in found for row in range(rows)[part]] == list(range(rows))
    assert all(part.stop > part.start for part in found)
    assert max((p.stop - p.start for p in found), default=0) - min((p.stop - p.start for p in found), default=0) <= 1


def test_a_batch_in_two_parts_is_the_batch_in_one(tmp_path: Path) -> None:
    pipeline = pipelines.load(tmp_path / "data")
    text = pipelines.text()
    pipeline = pipelines.tiny.load(tmp_path / "data", text=text[: text.index("  demo:")])
    run_pipeline(pipeline, tmp_path / "run", say=lambda line: None)
    folder = str(tmp_path / "run" / "stages" / "base" / "model")
    prompts = [[5 + row, 7, 9] for row in range(5)]
    options = {"max_new_tokens": 4, "stop_token_ids": [0], "batch_size": 8}
    whole = generate(
        load_causal_lm(folder), prompts, temperatures=[1.0] * 5, generator=torch.Generator().manual_seed(1), **options
    )
    uniforms = draws([4] * 5, torch.Generator().manual_seed(1))
    worker, found = RoleWorker("float32", None), []
    for _, part in parts(5, ["a", "b"]):
        rows = prompts[part]
        asked = options | {"temperatures": [1.0] * len(rows)}
        found += worker.generate(Source("s", folder, "chatml"), None, rows, uniforms[part], asked)
    assert [one.token_ids for one in found] == [one.token_ids for one in whole]
