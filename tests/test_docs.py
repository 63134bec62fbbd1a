"""What the documentation says is so: reference pages equal the code, commands exist, pipelines load."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from boresight.config.load import load_pipeline
from boresight.config.reward_sections import Reward
from boresight.data.sources import FORM_NAMES
from boresight.data.written_forms import TARGET_NAMES
from boresight.feedback.rubric import load_rubric

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_reference_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def test_pipeline_of_the_readme_loads(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "pipeline.yaml").write_text(text)
    for name in re.findall(r"\w+\.(?:jsonl|csv)", text):
        (tmp_path / name).touch()
    assert list(load_pipeline(tmp_path / "pipeline.yaml").stages)[-1] == "gate"


def test_rewards_of_the_page_on_ppo_are_valid() -> None:
    (text,) = blocks(ROOT / "docs" / "ppo.md", "yaml")
    shown = [yaml.safe_load("reward:" + part)["reward"] for part in text.split("reward:")[1:]]
    assert len(shown) == 4
    for reward in shown:
        TypeAdapter(Reward).validate_python(reward, strict=True)


def test_settings_of_the_page_on_ai_feedback_are_valid(tmp_path: Path) -> None:
    """Stages of its blocks join a pipeline that has what they name; rewards and rubrics are read as they are."""
    stages: dict[str, Any] = {"demo": {"kind": "sft", "data": "demonstrations.jsonl", "steps": 1}}
    stages["drafts"] = {"kind": "sample", "policy": "demo", "prompts": "prompts.jsonl"}
    rewards = []
    for text in blocks(ROOT / "docs" / "ai_feedback.md", "yaml"):
        if text.startswith("reward:"):
            rewards += [yaml.safe_load("reward:" + part)["reward"] for part in text.split("reward:")[1:]]
        elif text.startswith("name:"):
            (tmp_path / "own.yaml").write_text(text)
            assert load_rubric("own.yaml", tmp_path).name == "support"
        else:
            stages |= yaml.safe_load(text)
    assert len(rewards) == 2 and {"labels", "revised", "better"} <= stages.keys()
    for reward in rewards:
        TypeAdapter(Reward).validate_python(reward, strict=True)
    for name in ("demonstrations.jsonl", "prompts.jsonl", "calibration.json"):
        (tmp_path / name).touch()
    whole = {"run": {"name": "page"}, "model": {"path": "owner/base"}, "stages": stages}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(whole))
    assert set(load_pipeline(tmp_path / "pipeline.yaml").stages) == set(stages)


def test_commands_that_are_named_exist() -> None:
    verbs = {verb for page in PAGES for verb in re.findall(r"boresight ([a-z]+) ?[A-Z$`<]", page.read_text())}
    verbs |= {verb for page in PAGES for verb in re.findall(r"bin/boresight ([a-z]+)", page.read_text())}
    assert {"demo", "init", "check", "run", "report", "chat"} <= verbs
    for verb in sorted(verbs):
        command = [str(Path(sys.executable).with_name("boresight")), verb, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Usage" in done.stdout, (verb, done.stderr)


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([a-z]+)\b`?", page.read_text())}
    assert {"demo", "test"} <= named & targets


def test_the_page_on_data_names_every_form_that_is_read_or_written() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in (*FORM_NAMES, *TARGET_NAMES) if f"`{name}`" not in page] == []
