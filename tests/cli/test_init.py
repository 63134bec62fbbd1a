from pathlib import Path

import pytest

from .conftest import Call

CONFIG = "model_name_or_path: owner/base\ndataset_name: owner/pairs\nbeta: 0.2\nodd_key: 1\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "dpo.yaml"
    path.write_text(CONFIG)
    return path


def test_init_from_another_tool_writes_a_pipeline_and_names_what_has_no_counterpart(
    config: Path, tmp_path: Path, call: Call
) -> None:
    ended = call("init", tmp_path / "moved", "--from-trl", config, "--method", "dpo")
    assert ended.code == 0 and "2 stages (pairs, dpo)" in ended.out
    assert any(line.startswith("  odd_key: 1: not known as a setting of TRL") for line in ended.told)
    assert f"boresight check {tmp_path / 'moved/pipeline.yaml'}" in ended.out and "load_dataset" in ended.out
    assert "#   odd_key: 1: not known" in (tmp_path / "moved/pipeline.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from-trl", "dpo.yaml", "--from-axolotl", "dpo.yaml"), "more than one is given; expected one"),
        (("--from-axolotl", "dpo.yaml", "--method", "dpo"), "--method: is for --from-trl alone"),
        (("--from-trl", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("--from-trl", "dpo.yaml"), "for which of TRL's commands is it?"),
    ],
)
def test_init_refuses_what_it_cannot_translate(
    arguments: tuple[str, ...], message: str, config: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("init", tmp_path / "moved", *arguments)
    assert ended.code == 2 and message in " ".join(ended.told)
    assert not (tmp_path / "moved").exists()


def test_init_from_another_tool_overwrites_nothing(config: Path, tmp_path: Path, call: Call) -> None:
    ended = call("init", tmp_path, "--from-trl", config, "--method", "dpo")
    assert ended.code == 2 and "holds files already" in ended.err
    assert config.read_text() == CONFIG
