from dataclasses import replace

import pytest
import torch
from tokenizers import AddedToken

from boresight.data.chat_template import CHATML, ChatFormat
from boresight.data.tokenize import encode_response
from boresight.errors import DataError
from boresight.models.generate import Generation
from boresight.models.response_logps import response_logps
from boresight.models.roles import Policy
from boresight.models.tiny import tiny_tokenizer
from boresight.records import Message
from boresight.training.rollout import (
    Rollout,
    prompts_of_step,
    refuse_long_prompts,
    response_text,
    rollout_metrics,
    sample,
)

from . import tiny_world as tiny
from .conftest import Imitator


@pytest.fixture(scope="module")
def rollout(imitator: Imitator) -> Rollout:
    return sample(
        tiny.policy_of(imitator.model), tiny.PROMPTS, responses_per_prompt=3, temperature=1.0, max_new_tokens=6,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip


def test_responses_of_one_prompt_stand_side_by_side(rollout: Rollout) -> None:
    assert [p.id for p in rollout.prompts] == [p.id for p in tiny.PROMPTS for _ in range(3)]


def test_mask_covers_the_response_tokens_and_the_texts_are_what_they_say(rollout: Rollout) -> None:
    assert rollout.response_mask.sum(dim=1).tolist() == rollout.lengths.tolist()
    for i, text in enumerate(rollout.texts):
        ids = rollout.input_ids[i][rollout.response_mask[i]].tolist()
        assert (ids[-1] == tiny.CHAT.stop_token_id) == bool(rollout.stopped[i])
        written = ids[:-1] if rollout.stopped[i] else ids
        assert tiny.TOKENIZER.decode(written) == text
        before = rollout.input_ids[i, : int(rollout.response_mask[i].nonzero()[0])].tolist()
        assert tiny.TOKENIZER.decode(before).endswith("assistant\n")


def test_rows_are_cut_to_the_longest_of_them_and_score_alike(imitator: Imitator, rollout: Rollout) -> None:
    short = rollout.lengths.argsort()[:2]
    ids, mask = rollout.rows(short)
    assert bool(mask[:, -1].any())
    with torch.no_grad():
        whole = response_logps(imitator.model, rollout.input_ids, rollout.response_mask).logp[short]
        cut = response_logps(imitator.model, ids, mask).logp
    torch.testing.assert_close(cut, whole[:, : cut.shape[1]], atol=1e-5, rtol=0)


def test_stop_token_that_the_tokenizer_does_not_call_special_is_no_part_of_the_text(imitator: Imitator) -> None:
    tokenizer = tiny_tokenizer("llama3")
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in CHATML.special_tokens])
    tokenizer.chat_template = CHATML.jinja
    policy = Policy(imitator.model, tokenizer, ChatFormat(tokenizer))
    assert policy.chat.stop_token not in tokenizer.all_special_tokens
    ids = encode_response(policy.chat, tiny.PROMPTS[0].messages, "so it is")
    assert response_text(policy, Generation(ids, [0.0] * len(ids), stopped=True)) == "so it is"
    spelt = [token for sign in "<|im_end|>" for token in tokenizer.encode(sign, add_special_tokens=False)]
    text = response_text(policy, Generation([*spelt, *ids[-1:]], [0.0] * (len(spelt) + 1), stopped=True))
    assert text == "< |im_end|>"
    encode_response(policy.chat, tiny.PROMPTS[0].messages, text)  # which a control token would not pass


def test_each_prompt_is_met_once_an_epoch_in_a_fresh_order() -> None:
    prompts = [replace(tiny.PROMPTS[0], id=f"p{i}") for i in range(7)]
    met = [prompt.id for step in range(14) for prompt in prompts_of_step(prompts, 4, seed=3, step=step)]
    epochs = [met[i : i + 7] for i in range(0, 56, 7)]
    assert all(sorted(epoch) == sorted(p.id for p in prompts) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert met[:4] != [p.id for p in prompts_of_step(prompts, 4, seed=4, step=0)]


def test_step_may_take_more_prompts_than_there_are() -> None:
    met = [prompt.id for prompt in prompts_of_step(tiny.PROMPTS, 10, seed=0, step=0)]
    assert sorted(met[:4]) == sorted(met[4:8]) == ["p0", "p1", "p2", "p3"] and len(met) == 10


def test_metrics_count_repeated_four_grams_and_distinct_responses(rollout: Rollout) -> None:
    looping = "go on and on go on and on go on and on"  # 9 four-grams of words, 4 of them different
    texts = (looping, "short", *("same text",) * 10)
    metrics = rollout_metrics(replace(rollout, texts=texts))
    assert metrics["rollout/repetition"] == pytest.approx((1 - 4 / 9) / 12)
    assert metrics["rollout/distinct_responses"] == 3 / 12
    assert metrics["rollout/length_tokens"] == float(rollout.lengths.double().mean())


def test_prompt_without_room_for_a_response_is_named_at_once(imitator: Imitator) -> None:
    long = replace(tiny.PROMPTS[1], id="endless", messages=(Message("user", "x" * 50),))
    with pytest.raises(DataError, match=r"prompt 'endless' has \d+ tokens; with max_new_tokens = 8 .* context of 64"):
        refuse_long_prompts(tiny.policy_of(imitator.model), [*tiny.PROMPTS, long], 8)
    refuse_long_prompts(tiny.policy_of(imitator.model), tiny.PROMPTS, 8)
