from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from boresight.config.sections import AnswerReward, EnsembleReward, LengthReward, MatchReward
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import encode_pair_response
from boresight.errors import DataError, ServiceError, TrainingError
from boresight.feedback.score_client import ScoreClient
from boresight.models.loading import save_model, start_reward_model
from boresight.models.roles import RewardModel
from boresight.models.tiny import tiny_llama, train_tokenizer
from boresight.records import Message, Messages, Prompt
from boresight.training.reward_sources import (
    SERVICE_FILE,
    AnySource,
    Ensemble,
    Form,
    KnownAnswer,
    PromptRules,
    Service,
    WeightedSum,
    require_finite_scores,
    scores_of,
)

from ..score_server import ScoreServer
from . import tiny_world as tiny

TEXTS = ("aab", "bbbb", "a", "abcd")


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[RewardModel]:
    folder = tmp_path_factory.mktemp("members")
    return [RewardModel(tiny.scorer(folder / str(seed), seed), tiny.TOKENIZER, tiny.CHAT) for seed in (1, 2)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScoreServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ScoreServer().start()
    yield server
    server.stop()


def service(server: ScoreServer, folder: Path, batch_size: int = 3) -> Service:
    return Service(ScoreClient(server.url, timeout=5.0, patience=0.0), batch_size, folder)


def test_ensemble_combines_what_its_members_say(members: list[RewardModel]) -> None:
    rollout = tiny.rollout_of(*TEXTS)
    first, second = (scores_of(member, rollout) for member in members)
    assert not torch.equal(first, second)
    for combine, expected in (
        ("mean", (first + second) / 2),
        ("min", torch.minimum(first, second)),
        ("mean_minus_deviation", (first + second) / 2 - 0.5 * (first - second).abs() / 2),
    ):
        section = EnsembleReward(kind="ensemble", models=["x", "y"], combine=combine, deviation_weight=0.5)  # type: ignore[arg-type]
        torch.testing.assert_close(scores_of(Ensemble(section, members), rollout), expected)


def test_sum_weighs_parts_of_every_sort(members: list[RewardModel]) -> None:
    rollout = tiny.rollout_of(*TEXTS)
    short = Form(LengthReward(kind="length", max_words=1))
    matching = Form(MatchReward(kind="match", pattern="^a"))
    got = scores_of(WeightedSum([(0.5, members[0]), (2.0, matching), (-1.0, short)]), rollout)
    expected = 0.5 * scores_of(members[0], rollout) + 2.0 * torch.tensor([1.0, 0.0, 1.0, 1.0]) - 1.0
    torch.testing.assert_close(got, expected)


def test_reward_model_of_another_tokenizer_reads_text_in_its_own_template(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["go on up in aab bbbb abcd " * 40], 290, "llama3")
    assert tokenizer.get_vocab() != tiny.TOKENIZER.get_vocab()
    save_model(tmp_path / "base", tiny_llama(tokenizer, context_length=64), tokenizer, "")
    model, chat = start_reward_model(tmp_path / "base", seed=0), ChatFormat(tokenizer)
    rollout = tiny.rollout_of(*TEXTS)
    got = scores_of(RewardModel(model, tokenizer, chat), rollout)
    for score, prompt, text in zip(got, rollout.prompts, TEXTS, strict=True):
        row = encode_pair_response(chat, prompt.messages, text)
        assert row[-1] == chat.stop_token_id and chat.stop_token == "<|eot_id|>"
        with torch.no_grad():  # transformers' own head on one row without padding
            expected = model.score(model.model(torch.tensor([row])).last_hidden_state[:, -1])
        assert float(score) == pytest.approx(float(expected), abs=1e-5)


def test_each_prompt_is_encoded_once(members: list[RewardModel], monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Messages] = []
    sound = ChatFormat.prompt_segments

    def counting(self: ChatFormat, messages: Messages) -> list[tuple[str, bool]]:
        written.append(messages)
        return sound(self, messages)

    monkeypatch.setattr(ChatFormat, "prompt_segments", counting)
    prompts = [prompt.messages for prompt in tiny.PROMPTS[:2]]
    members[0].score([*prompts, *prompts, *prompts], ["a", "b", "ab", "ba", "aa", "bb"])
    assert written == prompts


def test_text_beyond_the_positions_of_a_reward_model_is_refused(members: list[RewardModel]) -> None:
    config = GPT2Config(vocab_size=len(tiny.TOKENIZER), n_positions=64, n_embd=16, n_layer=1, n_head=2, num_labels=1)
    config.pad_token_id = tiny.TOKENIZER.pad_token_id
    learnt = RewardModel(GPT2ForSequenceClassification(config), tiny.TOKENIZER, tiny.CHAT)
    fits, too_long = tiny.rollout_of("ab"), tiny.rollout_of("ab", "a" * 60)
    assert scores_of(learnt, fits).shape == (1,)
    with pytest.raises(DataError, match=r"has \d+ tokens of the reward model's tokenizer, and it knows 64 positions"):
        scores_of(learnt, too_long)
    assert scores_of(members[0], too_long).shape == (2,)  # rotary positions go on


def test_rules_of_the_prompt_see_text_and_stop() -> None:
    rules = [{"name": "first", "weight": 2.0, "starts_with": "a"}, {"name": "stops", "weight": 0.5, "stopped": True}]
    prompts = [Prompt(id="p", messages=(Message("user", "go"),), expect={"rules": rules})]
    assert scores_of(PromptRules(), tiny.rollout_of("ab", "b", prompts=prompts)).tolist() == [2.5, 0.5]
    assert scores_of(PromptRules(), tiny.rollout_of("ab", stopped=False, prompts=prompts)).tolist() == [2.0]


def test_known_answer_pays_one() -> None:
    prompts = [Prompt(id="p", messages=(Message("user", "6 x 7?"),), expect={"answer": "42"})]
    source = KnownAnswer(AnswerReward(kind="answer", extract=r"= (\d+)"))
    assert scores_of(source, tiny.rollout_of("= 42", "= 41", "42", prompts=prompts)).tolist() == [1.0, 0.0, 0.0]


def test_service_is_asked_in_batches_and_its_model_written_down(server: ScoreServer, tmp_path: Path) -> None:
    source = service(server, tmp_path)
    assert source.model_hash is None
    assert scores_of(source, tiny.rollout_of(*TEXTS)).tolist() == pytest.approx([2 / 3, 0.0, 1.0, 0.25])
    assert [len(request["responses"]) for request in server.requests] == [3, 1]
    assert source.model_hash == "a" * 64
    assert (tmp_path / SERVICE_FILE).exists()


def test_service_that_changes_its_model_is_refused_also_after_a_restart(server: ScoreServer, tmp_path: Path) -> None:
    scores_of(service(server, tmp_path), tiny.rollout_of(*TEXTS))
    server.model_hash = "b" * 64
    with pytest.raises(ServiceError, match=r"answers with the model b{12}, and did with a{12} before"):
        scores_of(service(server, tmp_path), tiny.rollout_of(*TEXTS))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_score_that_is_not_finite_names_when_and_which_prompts(bad: float) -> None:
    with pytest.raises(TrainingError, match=r"step 4: the reward of 2 of 3 responses is not finite \(prompts p0, p2\)"):
        require_finite_scores(torch.tensor([bad, 1.0, bad]), tiny.rollout_of("a", "b", "c"), "step 4")


def test_every_source_answers_with_one_finite_number_a_response(members: list[RewardModel]) -> None:
    expect = {"rules": [{"name": "x", "weight": 1.0, "contains": "a"}], "answer": "a"}
    prompts = [Prompt(id="p", messages=(Message("user", "go"),), expect=expect)]
    rollout = tiny.rollout_of("", "a", "ab ab ab", prompts=prompts)
    sources: list[AnySource] = [
        members[0], PromptRules(), KnownAnswer(AnswerReward(kind="answer")), Form(LengthReward(kind="length")),
        Ensemble(EnsembleReward(kind="ensemble", models=["x", "y"]), members),
    ]  # fmt: skip
    for source in [*sources, WeightedSum([(1.0, source) for source in sources])]:
        scores = scores_of(source, rollout)
        assert scores.shape == (3,) and scores.dtype == torch.float32 and bool(torch.isfinite(scores).all())
