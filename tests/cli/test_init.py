import json
import math
from pathlib import Path

import pytest

from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.runlog.reader import read_metrics

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


def test_a_config_of_trl_trains_as_trl_would(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer = tiny_tokenizer()
    for part in (tokenizer, tiny_llama(tokenizer)):
        part.save_pretrained("base")
    pairs = [{"prompt": f"Say {n}.", "chosen": f"It is {n}.", "rejected": "No."} for n in range(8)]
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    Path("dpo.yaml").write_text(
        "model_name_or_path: base\ndataset_name: pairs.jsonl\nbeta: 0.2\nmax_length: 128\nmax_steps: 2\n"
        "per_device_train_batch_size: 4\n"
    )
    assert call("init", "moved", "--from-trl", "dpo.yaml", "--method", "dpo").code == 0
    ended = call("run", "moved/pipeline.yaml", "--out", "run")
    assert ended.code == 0, ended.err
    logged = read_metrics(Path("run/stages/dpo/metrics.jsonl"))
    rates = [value for _, value in logged.series("optim/learning_rate", "train")]
    assert rates == pytest.approx([1e-6, 5e-7])  # TRL's default for DPO, down a line to 0
    assert logged.series("loss/total", "train")[0][1] == pytest.approx(
        math.log(2)
    )  # policy and reference are one model


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
