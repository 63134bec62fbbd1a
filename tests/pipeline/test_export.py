"""Exported models: loaded by transformers and PEFT alone, they compute what ours computes."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from boresight.config.sections import LoRASection
from boresight.errors import ConfigError, ModelError
from boresight.models.adapters import add_adapter
from boresight.models.export_forms import cast
from boresight.models.loading import load_causal_lm, load_reward_model, save_model, start_reward_model
from boresight.models.roles import build_reward_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.pipeline.export import ExportWish, export_model
from boresight.pipeline.export_source import header_of
from boresight.records import Message
from boresight.storage import write_json, write_text

IDS = torch.tensor([[70, 80, 90, 71, 81]])
PROMPTS = (
    (Message("user", "Which pods run?"),),
    (Message("system", "Be brief."), Message("user", "And nodes?\nAll of them.")),
    (Message("user", "a"), Message("assistant", "b"), Message("user", "c")),
)
RESPONSES = ("kubectl get pods", "x", "none at all, as far as can be seen from here")


def policy_folder(folder: Path, seed: int = 0) -> Path:
    tokenizer = tiny_tokenizer()
    save_model(folder, tiny_llama(tokenizer, seed=seed), tokenizer, "---\nlicense: apache-2.0\n---\n# tiny\n")
    (folder / "LICENSE").write_text("Terms.")
    return folder


def adapted_stage(run: Path, base: Path, kind: str) -> Path:
    """A finished stage that trained adapters, its weights moved away from the start."""
    stage, reward = run / "stages" / kind, kind == "reward_model"
    tokenizer = tiny_tokenizer()
    model = start_reward_model(base, 3) if reward else load_causal_lm(base)
    model.config.pad_token_id = tokenizer.pad_token_id
    adapter = add_adapter(model, LoRASection(rank=2), task="SEQ_CLS" if reward else "CAUSAL_LM", seed=1)
    with torch.no_grad():
        for _, parameter in adapter.weights("default").named_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    adapter.save(stage / "adapter", "# adapter\n", None)
    card = f"---\nlibrary_name: transformers\ntags: [boresight, {kind}]\n---\n# tiny: {kind}\n"
    save_model(stage / "model", adapter.merge(), tokenizer, card)
    write_json(stage / "config.json", {"kind": kind, "start" if reward else "policy": "base_model"})
    write_json(stage / "manifest.json", {"key": "k"})
    write_text(run / "pipeline.yaml", f"run: {{name: tiny}}\nmodel: {{path: {base}}}\nstages: {{}}\n")
    return stage


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a policy and a reward model, both trained as adapters on a licensed base."""
    home = tmp_path_factory.mktemp("export")
    base = policy_folder(home / "base")
    for kind in ("dpo", "reward_model"):
        adapted_stage(home / "run", base, kind)
    return home / "run"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def rewardbench_scores(folder: Path, model: Any = None) -> torch.Tensor:
    """What RewardBench's runner does: the template's text, tokenised in one batch with padding; the first logit."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = model or AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in (*prompt, Message("assistant", response))], tokenize=False
        )
        for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
    ]
    inputs = tokenizer(texts, truncation=True, max_length=2048, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs).logits[:, 0]


def test_a_policy_loads_in_transformers_with_equal_logits_tokenizer_and_template(run: Path, tmp_path: Path) -> None:
    told = export_model(run, tmp_path / "out", ExportWish(), stage="dpo")
    assert torch.equal(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(load_causal_lm(run / "stages/dpo/model"))
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tiny_tokenizer().chat_template
    assert (told["kind"], told["adapters"], told["dtype"]) == ("policy", "merged", "float32")


def test_the_card_names_base_and_licence_whose_text_goes_along(run: Path, tmp_path: Path) -> None:
    export_model(run / "stages/dpo", tmp_path / "out", ExportWish())
    card = (tmp_path / "out/README.md").read_text()
    head = header_of(card)
    assert (head["license"], head["base_model"], head["pipeline_tag"]) == ("apache-2.0", "base", "text-generation")
    assert head["tags"] == ["boresight", "dpo"] and "# tiny: dpo" in card
    assert (tmp_path / "out/LICENSE").read_text() == "Terms."


def test_a_model_without_a_known_licence_says_so_and_takes_one(tmp_path: Path) -> None:
    folder = policy_folder(tmp_path / "plain")
    (folder / "LICENSE").unlink()
    (folder / "README.md").write_text("# bare\n")
    assert export_model(folder, tmp_path / "a", ExportWish())["licence"] is None
    assert "was not found" in (tmp_path / "a/README.md").read_text()
    export_model(folder, tmp_path / "b", ExportWish(licence="mit"))
    assert header_of((tmp_path / "b/README.md").read_text())["license"] == "mit"


def test_kept_adapters_load_in_peft_on_their_base_with_equal_logits(run: Path, tmp_path: Path) -> None:
    told = export_model(run / "stages/dpo", tmp_path / "out", ExportWish(adapters="keep"))
    assert told["adapter_base"] == str((run.parent / "base").resolve()) and told["adapters"] == "kept"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        model = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(model), logits(load_causal_lm(run / "stages/dpo/model")))
    again = export_model(tmp_path / "out", tmp_path / "merged", ExportWish())  # and a PEFT folder is merged
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged), logits(load_causal_lm(run / "stages/dpo/model")))
    assert again["licence"] == "apache-2.0"


def test_a_number_format_is_that_of_the_loaded_weights(run: Path, tmp_path: Path) -> None:
    told = export_model(run / "stages/dpo", tmp_path / "out", ExportWish(dtype="bfloat16"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16} and told["dtype"] == "bfloat16"
    expected = dict(load_causal_lm(run / "stages/dpo/model").named_parameters())
    assert all(torch.equal(p, expected[name].to(torch.bfloat16)) for name, p in model.named_parameters())
    assert export_model(tmp_path / "out", tmp_path / "again", ExportWish())["dtype"] == "bfloat16"


def test_weights_are_split_into_files_of_a_size(run: Path, tmp_path: Path) -> None:
    told = export_model(run / "stages/dpo", tmp_path / "out", ExportWish(max_shard_size="40KB"))
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(files) == told["weight_files"] > 1 and (tmp_path / "out/model.safetensors.index.json").is_file()
    # A file holds one tensor at least, and a header.
    assert all(file.stat().st_size < 44_000 for file in files)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(model), logits(load_causal_lm(run / "stages/dpo/model")))


def test_a_reward_model_scores_in_rewardbench_form_as_it_does_here(run: Path, tmp_path: Path) -> None:
    told = export_model(run / "stages/reward_model", tmp_path / "out", ExportWish())
    ours = build_reward_model(run / "stages/reward_model/model").score(PROMPTS, RESPONSES)
    torch.testing.assert_close(rewardbench_scores(tmp_path / "out"), ours)
    assert told["kind"] == "reward_model" and any("stop token" in change for change in told["changed"])
    # Without the export ChatML's line break is what the score is read at.
    assert not torch.allclose(rewardbench_scores(run / "stages/reward_model/model"), ours, atol=1e-3)
    torch.testing.assert_close(build_reward_model(tmp_path / "out").score(PROMPTS, RESPONSES), ours)


def test_a_reward_adapter_scores_in_peft_as_it_does_here(run: Path, tmp_path: Path) -> None:
    export_model(run / "stages/reward_model", tmp_path / "out", ExportWish(adapters="keep"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # as above
        model = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=1)
    model.config.pad_token_id = AutoTokenizer.from_pretrained(tmp_path / "out").pad_token_id
    ours = build_reward_model(run / "stages/reward_model/model").score(PROMPTS, RESPONSES)
    torch.testing.assert_close(rewardbench_scores(tmp_path / "out", model), ours)


@pytest.mark.parametrize("pad", ["the stop token", "missing"])
def test_a_reward_model_gets_a_pad_token_of_its_own(run: Path, tmp_path: Path, pad: str) -> None:
    tokenizer = tiny_tokenizer("llama3")
    tokenizer.pad_token = tokenizer.eos_token if pad == "the stop token" else None
    policy = tiny_llama(tokenizer)
    save_model(tmp_path / "policy", policy, tokenizer, "")
    save_model(tmp_path / "scorer", start_reward_model(tmp_path / "policy", 5), tokenizer, "")
    told = export_model(tmp_path / "scorer", tmp_path / "out", ExportWish())
    assert any("pad token" in change for change in told["changed"])
    assert load_reward_model(tmp_path / "out").config.pad_token_id != tokenizer.eos_token_id
    ours = build_reward_model(tmp_path / "scorer").score(PROMPTS, RESPONSES)
    torch.testing.assert_close(rewardbench_scores(tmp_path / "out"), ours)


def test_a_tokenizer_adds_no_second_first_token_for_a_reward_model(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("llama3")
    tokenizer.add_special_tokens({"bos_token": "<|begin_of_text|>"})
    policy = tiny_llama(tokenizer)
    save_model(tmp_path / "policy", policy, tokenizer, "")
    save_model(tmp_path / "scorer", start_reward_model(tmp_path / "policy", 5), tokenizer, "")
    file = tmp_path / "scorer/tokenizer.json"
    bos = {"id": "<|begin_of_text|>", "ids": [tokenizer.bos_token_id], "tokens": ["<|begin_of_text|>"]}
    start = {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}
    text, pair = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    processor = {
        "type": "TemplateProcessing", "single": [start, text], "pair": [start, text, pair],
        "special_tokens": {"<|begin_of_text|>": bos},
    }  # fmt: skip
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": processor}))
    doubled = AutoTokenizer.from_pretrained(tmp_path / "scorer")("<|begin_of_text|>a")["input_ids"]
    assert doubled[:2] == [tokenizer.bos_token_id] * 2
    told = export_model(tmp_path / "scorer", tmp_path / "out", ExportWish())
    assert any("first token" in change for change in told["changed"])
    ours = build_reward_model(tmp_path / "scorer").score(PROMPTS, RESPONSES)
    torch.testing.assert_close(rewardbench_scores(tmp_path / "out"), ours)


def test_what_stands_there_is_never_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files already"):
        export_model(run / "stages/dpo", tmp_path / "out", ExportWish())
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_a_fault_on_the_way_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("boresight.pipeline.export.export_card", fail)  # the last thing that is written
    with pytest.raises(KeyboardInterrupt):
        export_model(run / "stages/dpo", tmp_path / "out", ExportWish())
    assert list(tmp_path.iterdir()) == []


def test_a_weight_too_large_for_float16_is_refused() -> None:
    model = tiny_llama(tiny_tokenizer())
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    with pytest.raises(ModelError, match=r"model\.norm\.weight: holds a weight beyond 65504"):
        cast(model, "float16")


@pytest.mark.parametrize(
    ("path", "wish", "stage", "message"),
    [
        ("run", ExportWish(), None, "several models; name one by --stage: dpo, reward_model"),
        ("run", ExportWish(), "orpo", "no model of a stage orpo; finished stages with one: dpo, reward_model"),
        ("nowhere", ExportWish(), None, "no such folder"),
        ("base", ExportWish(adapters="keep"), None, "no adapter to keep"),
        ("base", ExportWish(base="owner/x"), None, r"--base owner/x: .*base is a whole model.* Leave --base out\.$"),
        ("run", ExportWish(base="owner/x"), "dpo", "whole model.* or keep the adapters apart: --adapters keep"),
        ("base", ExportWish(max_shard_size="5 apples"), None, "--max-shard-size 5 apples: expected a whole number"),
    ],
)
def test_what_cannot_be_exported_is_told(
    run: Path, tmp_path: Path, path: str, wish: ExportWish, stage: str | None, message: str
) -> None:
    with pytest.raises((ModelError, ConfigError), match=message):
        export_model(run.parent / path, tmp_path / "out", wish, stage=stage)
    assert not (tmp_path / "out").exists()


def test_adapters_whose_base_is_gone_ask_for_it(run: Path, tmp_path: Path) -> None:
    stage = tmp_path / "moved/stages/dpo"
    shutil.copytree(run / "stages/dpo", stage)
    with pytest.raises(ModelError, match="--base FOLDER_OR_HUB_NAME"):
        export_model(stage, tmp_path / "out", ExportWish(adapters="keep"))
    told = export_model(stage, tmp_path / "out", ExportWish(adapters="keep", base="owner/base"))
    assert json.loads((tmp_path / "out/adapter_config.json").read_text())["base_model_name_or_path"] == "owner/base"
    assert told["adapter_base"] == "owner/base"
