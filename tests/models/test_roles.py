from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import encode_pair_response
from boresight.errors import ModelError
from boresight.models.loading import load_reward_model, save_model, scalar_head, start_reward_model
from boresight.models.roles import (
    FrozenPolicy,
    RewardModel,
    build_frozen_policy,
    build_policy,
    build_reward_model,
    build_value_model,
    fingerprint,
    score_rows,
)
from boresight.models.tiny import END_OF_TEXT, tiny_llama, tiny_tokenizer
from boresight.records import Message

PROMPT = (Message("user", "How do I list pods?"),)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer = tiny_tokenizer()
    save_model(folder, tiny_llama(tokenizer), tokenizer, "# tiny")
    return folder


@pytest.fixture(scope="module")
def scorer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scorer") / "model"
    tokenizer = tiny_tokenizer()
    model = start_reward_model(base, seed=1)
    model.config.pad_token_id = tokenizer.pad_token_id
    save_model(folder, model, tokenizer, "# tiny")
    return folder


def test_saved_model_loads_as_it_was(base: Path) -> None:
    policy = build_policy(base, "tokenizer")
    assert fingerprint(policy.model) == fingerprint(tiny_llama(tiny_tokenizer()))
    assert policy.chat.stop_token == "<|im_end|>"
    assert (base / "README.md").read_text() == "# tiny"


def test_frozen_policy_has_nothing_to_train_and_no_gradient(base: Path) -> None:
    reference = build_frozen_policy(base, "tokenizer")
    assert not any(p.requires_grad for p in reference.model.parameters())
    assert not reference.model.training
    ids, mask = torch.tensor([[1, 2, 3]]), torch.tensor([[False, True, True]])
    assert not reference.logps(ids, mask).logp.requires_grad


def test_fingerprint_sees_a_single_changed_weight(base: Path) -> None:
    reference = build_frozen_policy(base, "tokenizer")
    before = reference.fingerprint()
    with torch.no_grad():
        next(reference.model.parameters()).view(-1)[7] += 1e-6
    assert reference.fingerprint() != before


def test_reward_model_loads_through_transformers_and_scores_alike(scorer: Path) -> None:
    reward = build_reward_model(scorer)
    texts = ["kubectl get pods", "no", "a longer answer about pods and nodes"]
    scores = reward.score([PROMPT] * 3, texts)
    # Second source: transformers' own pooling over one row at a time, which reads the last token that is not padding.
    model = load_reward_model(scorer)
    for score, text in zip(scores, texts, strict=True):
        row = encode_pair_response(ChatFormat(tiny_tokenizer()), PROMPT, text)
        with torch.no_grad():
            assert float(model(torch.tensor([row])).logits[0, 0]) == pytest.approx(float(score), abs=1e-5)


def test_reward_of_a_batch_is_that_of_its_members(scorer: Path) -> None:
    reward = build_reward_model(scorer)
    texts = ["x" * n for n in (1, 40, 3, 17)]
    together = reward.score([PROMPT] * 4, texts)
    alone = torch.cat([reward.score([PROMPT], [text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_score_is_read_at_the_stop_token_even_where_pad_equals_it(scorer: Path) -> None:
    model = load_reward_model(scorer)
    stop = 3
    rows = [[10, 11, stop], [10, 11, 12, 13, 14, stop]]
    with torch.no_grad():
        scores = score_rows(model, scalar_head(model), rows, [2, 2])
        hidden = model.base_model(torch.tensor([rows[0]])).last_hidden_state[0, 2]
        assert float(scores[0]) == pytest.approx(float(scalar_head(model)(hidden)), abs=1e-5)


def test_scalar_head_starts_with_the_stated_deviation(base: Path) -> None:
    weights = torch.stack([scalar_head(start_reward_model(base, seed=s)).weight.detach() for s in range(20)])
    assert float(weights.std()) == pytest.approx(1 / 33**0.5, rel=0.1)


def test_classifier_of_several_labels_is_refused(scorer: Path, tmp_path: Path) -> None:
    model = load_reward_model(scorer)
    model.config.num_labels = 3
    model.config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"3 labels; a reward model has exactly one"):
        load_reward_model(tmp_path)


def test_value_model_starts_as_the_normalised_reward(base: Path, scorer: Path) -> None:
    policy = build_policy(base, "tokenizer")
    value = build_value_model(scorer, start="reward", policy=policy, mean=0.5, deviation=2.0)
    row = encode_pair_response(policy.chat, PROMPT, "yes")
    mask = torch.zeros(1, len(row) + 1, dtype=torch.bool)
    mask[0, len(row)] = True  # the state after the last token of the text
    ids = torch.tensor([[*row, 0]])
    reward = build_reward_model(scorer).score([PROMPT], ["yes"])
    assert float(value.predict(ids, mask).detach()) == pytest.approx((float(reward) - 0.5) / 2.0, abs=1e-5)


def test_value_model_from_the_policy_starts_at_zero(base: Path) -> None:
    policy = build_policy(base, "tokenizer")
    value = build_value_model(base, start="policy", policy=policy, mean=0.0, deviation=1.0)
    ids, mask = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[False, False, True, True]])
    assert value.predict(ids, mask).tolist() == [[0.0, 0.0]]


def test_value_model_from_the_policy_knows_the_tokens_that_its_template_brings(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.chat_template = None
    save_model(tmp_path / "bare", tiny_llama(tokenizer), tokenizer, "# bare")
    policy = build_policy(tmp_path / "bare", "llama3")
    value = build_value_model(tmp_path / "bare", start="policy", policy=policy, mean=0.0, deviation=1.0)
    ids = torch.tensor([encode_pair_response(policy.chat, PROMPT, "yes")])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, -2:] = True
    assert int(ids.max()) >= len(tokenizer)
    assert value.predict(ids, mask).tolist() == [[0.0, 0.0]]


def test_saved_model_ends_where_its_template_does_though_texts_end_otherwise(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.eos_token = END_OF_TEXT  # as of base models that come with a chat template
    save_model(tmp_path / "base", tiny_llama(tokenizer), tokenizer, "# base")
    policy = build_policy(tmp_path / "base", "tokenizer")
    save_model(tmp_path / "tuned", policy.model, policy.tokenizer, "# tuned")
    ends = GenerationConfig.from_pretrained(tmp_path / "tuned").eos_token_id
    assert ends == [policy.chat.stop_token_id, tokenizer.eos_token_id]
    assert policy.chat.stop_token == "<|im_end|>" and policy.tokenizer.eos_token == END_OF_TEXT


def test_missing_folder_names_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing-here.*cannot load.*config\.json"):
        build_policy(tmp_path / "nothing-here", "tokenizer")


def test_roles_keep_their_types() -> None:
    assert not hasattr(FrozenPolicy, "parameters") and not hasattr(RewardModel, "parameters")


def test_built_in_template_brings_its_tokens_to_a_base_model_that_lacks_them(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.chat_template = None
    save_model(tmp_path / "bare", tiny_llama(tokenizer), tokenizer, "# bare")
    policy = build_policy(tmp_path / "bare", "llama3")
    reference = build_frozen_policy(tmp_path / "bare", "llama3")
    assert policy.chat.stop_token == "<|eot_id|>"
    assert policy.model.get_input_embeddings().weight.shape[0] == len(policy.tokenizer) == len(tokenizer) + 4
    assert policy.model.generation_config.eos_token_id == policy.chat.stop_token_id
    assert fingerprint(policy.model) == reference.fingerprint()
    with pytest.raises(ModelError, match=r"no chat template.*model\.chat_template"):
        build_policy(tmp_path / "bare", "tokenizer")
