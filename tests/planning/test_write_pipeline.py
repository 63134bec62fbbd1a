"""What is written is what was planned, and it loads."""

from pathlib import Path
from typing import Any

import pytest

from boresight.config.load import load_pipeline
from boresight.planning.choose import judge_method
from boresight.planning.method_stages import METHODS, missing_data
from boresight.planning.write_pipeline import files_named, pipeline_text
from tests.planning.test_choose import case


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("have", "settings"),
    [
        ("demonstrations,pairs,prompts", {}),
        ("demonstrations,rankings", {"finetune": "lora"}),
        ("pairs=p.csv,prompts", {"tuned": True, "finetune": "qlora", "cost_per_gpu_hour": 2.5}),
        ("verifiable,judge", {"tuned": True, "dtype": "float32"}),
        ("demonstrations,prompts,judge", {}),
    ],
)
def test_every_plan_is_a_pipeline_that_loads(tmp_path: Path, method: str, have: str, settings: dict[str, Any]) -> None:
    planned = case("Qwen2.5-0.5B", "2xH200-141GB", have=have, **settings)
    option = judge_method(planned, method)
    if missing_data(planned, method):
        assert not option.feasible and option.sections == {}
        return
    path = tmp_path / "pipeline.yaml"
    path.write_text(pipeline_text(planned, option))
    for file in files_named(option, tmp_path):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert files_named(option, tmp_path) == []
    loaded = load_pipeline(path)
    assert dict(loaded.stages) == dict(option.sections)
    assert loaded.sections.model.dtype == planned.dtype and loaded.model_path == "Qwen/Qwen2.5-0.5B"


def test_the_file_says_why_and_what_it_takes(tmp_path: Path) -> None:
    planned = case("Qwen2.5-0.5B", "1xH200-141GB")
    option = judge_method(planned, "ppo")
    comments = [line for line in pipeline_text(planned, option).splitlines() if line.lstrip().startswith("#")]
    assert any("KL penalty" in line for line in comments) and any("GiB at most" in line for line in comments)
    assert any("reward_model, model: scorer" in line for line in comments)
    assert [path.name for path in files_named(option, tmp_path)] == [
        "demonstrations.jsonl",
        "pairs.jsonl",
        "prompts.jsonl",
    ]
