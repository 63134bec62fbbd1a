"""Rollouts over vLLM's protocol, against a double that keeps to it; what is not shown here is vLLM itself on a GPU."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import ServiceError
from boresight.models.roles import Policy
from boresight.runlog.reader import read_metrics
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_scale import RewardScale
from boresight.training.vllm_sampler import VLLMSampler

from . import tiny_world as tiny
from .conftest import Imitator
from .vllm_server import VLLMServer

UNSCALED = RewardScale(0.0, 1.0)
PROMPTS = [[5, 6, 7], [8, 9], [5, 6, 7], [3, 4, 5, 6, 7, 8]]


def double() -> VLLMServer:
    """A server that was started with other weights."""
    return VLLMServer(tiny.fresh_model(seed=9), tiny.TOKENIZER)


def served(server: VLLMServer, policy: Policy, folder: Path, **more: Any) -> VLLMSampler:
    sampler = VLLMSampler(server.url, "tiny", policy.model, folder / "weights", patience=5.0, **more)
    policy.sampler = sampler
    return sampler


def ask(policy: Policy, seed: int = 1, **more: Any) -> list[Any]:
    options: dict[str, Any] = {
        "temperatures": [1.0] * len(PROMPTS), "max_new_tokens": 8, "stop_token_ids": tiny.CHAT.stop_token_ids,
        "generator": torch.Generator().manual_seed(seed), "batch_size": 4, "tokenizer": tiny.TOKENIZER,
    }  # fmt: skip
    return policy.generate(PROMPTS, **options | more)


def test_responses_are_those_of_the_policys_own_weights_with_their_log_probabilities(tmp_path: Path) -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    policy.model.eval()
    told: list[int] = []
    with double() as server:
        served(server, policy, tmp_path)
        found = ask(policy, on_finished=told.append)
        assert ask(policy) == found and ask(policy, seed=2) != found
    assert sum(told) == 4 and found[0].token_ids != found[2].token_ids  # equal prompts, each with its own seed
    for prompt, generation in zip(PROMPTS, found, strict=True):
        row = torch.tensor([prompt + generation.token_ids])
        mask = torch.tensor([[False] * len(prompt) + [True] * len(generation.token_ids)])
        with torch.no_grad():
            logps = policy.logps(row, mask).logp[0].tolist()
        assert generation.logps == pytest.approx(logps, abs=1e-4)
    assert list((tmp_path / "weights").iterdir()) == []  # what was sent is taken away


def test_weights_are_sent_anew_before_every_rollout(tmp_path: Path) -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    policy.model.eval()
    with double() as server:
        sampler = served(server, policy, tmp_path)
        before, first = ask(policy), server.version
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.mul_(-1.5)
        after = ask(policy)
        assert [g.token_ids for g in after] != [g.token_ids for g in before] and server.version != first
        for own, sent in zip(policy.model.parameters(), server.model.parameters(), strict=True):
            assert torch.equal(own, sent)
        assert server.asked["/init_weight_transfer_engine"] == 1 and sampler.served_name == "tiny"


def test_ppo_learns_from_served_rollouts_as_from_its_own_sampler(imitator: Imitator, tmp_path: Path) -> None:
    def run(folder: Path) -> Policy:
        policy = tiny.policy_of(imitator.model)
        served(server, policy, folder)
        roles = PPORoles(policy, tiny.value_of(imitator.model), tiny.reference_of(imitator.model), tiny.LetterShare())
        train_ppo(tiny.ppo_config(steps=3, stop=["d"]), roles, UNSCALED, tiny.PROMPTS, tiny.run_in(folder))
        return policy

    with double() as server:
        policy = run(tmp_path / "a")
        again = run(tmp_path / "b")
    table = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert max(abs(point.value) for point in table.series("policy/sampler_kl")) < 1e-4
    assert len(table.series("policy/sampler_kl")) == 3
    tiny.assert_same_weights(again.model, tiny.weights(policy.model))
    assert {tuple(body["stop"]) for body in server.completions} == {("d",)}


def test_server_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    waits: list[float] = []
    policy = tiny.policy_of(tiny.fresh_model())
    with double() as server:
        served(server, policy, tmp_path, sleep=waits.append)
        server.failures = 3
        assert len(ask(policy)) == 4
    assert waits == [0.5, 1.0, 2.0]


def test_server_that_stays_away_saves_the_step_and_the_same_command_goes_on(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(steps=3)

    def run(folder: Path) -> Policy:
        policy = tiny.policy_of(imitator.model)
        sampler = served(server, policy, folder)
        sampler.patience = 0.0
        roles = PPORoles(policy, tiny.value_of(imitator.model), tiny.reference_of(imitator.model), tiny.LetterShare())
        train_ppo(config, roles, UNSCALED, tiny.PROMPTS, tiny.run_in(folder, checkpoint_every=100))
        return policy

    with double() as server:
        whole = run(tmp_path / "whole")
        dead = copy.copy(server.answer)

        def dies(path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
            return (503, b"gone") if server.asked["/resume"] >= limit else dead(path, body)

        limit = server.asked["/resume"] + 2
        server.answer = dies  # type: ignore[method-assign]
        with pytest.raises(ServiceError, match=r"the vLLM server is out of reach \(status 503.*Nothing is lost"):
            run(tmp_path / "paused")
        server.answer = dead  # type: ignore[method-assign]
        server.restart()
        resumed = run(tmp_path / "paused")
    assert torch.load(tmp_path / "paused" / "checkpoint.pt", weights_only=True)["next_step"] >= 1
    tiny.assert_same_weights(resumed.model, tiny.weights(whole.model))


def choice(**changes: Any) -> bytes:
    whole = {"token_ids": [7], "logprobs": {"token_logprobs": [-0.5]}, "finish_reason": "length", "stop_reason": None}
    return json.dumps({"choices": [whole | changes]}).encode()


@pytest.mark.parametrize(
    ("path", "said", "message"),
    [
        ("/v1/completions", b"<html>", "no JSON from /v1/completions"),
        ("/v1/completions", b"[]", "no object from /v1/completions"),
        ("/v1/completions", b"{}", "gave 0 token ids and 0 log-probabilities"),
        ("/v1/completions", choice(token_ids=None), "return_token_ids"),
        ("/v1/completions", choice(logprobs=None), "0 log-probabilities"),
        ("/v1/completions", choice(token_ids=[7, 8]), "gave 2 token ids and 1 log-probabilities"),
        ("/v1/completions", choice(finish_reason="stop"), "its last token 7 is no stop token"),
        ("/weight_info", b'{"weight_version": "another"}', "it has the weights 'another' after an update to"),
        ("/update_weights", b"no", "no JSON from /update_weights"),
    ],
)
def test_answer_of_another_form_is_named(tmp_path: Path, path: str, said: bytes, message: str) -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    with double() as server:
        served(server, policy, tmp_path)
        server.spoil[path] = said
        with pytest.raises(ServiceError, match=message):
            ask(policy)
        assert list((tmp_path / "weights").iterdir()) == []


def test_server_without_the_protocol_is_told_how_to_be_started(tmp_path: Path) -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    with double() as server:
        sampler = served(server, policy, tmp_path)
        sampler._ready = True  # and the server knows of nothing
        with pytest.raises(ServiceError, match=r"status 400 from /start_weight_update.*VLLM_SERVER_DEV_MODE=1"):
            ask(policy)


def test_server_that_was_started_anew_in_a_rollout_is_noticed(tmp_path: Path) -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    with double() as server:
        served(server, policy, tmp_path)
        with pytest.raises(ServiceError, match=r"the weights are those of 'None' after a rollout with"):
            ask(policy, on_finished=lambda count: server.restart())
