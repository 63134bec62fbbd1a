"""A local model as judge: probabilities against the model's own logits, and the traps of tokenizers."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from boresight.data.chat_template import CHATML, ChatFormat
from boresight.data.tokenize import encode_prompt
from boresight.errors import JudgeError
from boresight.feedback.ai_labels import label_responses
from boresight.feedback.chat_endpoint import Reply
from boresight.feedback.judge import Answer
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import Failure, Question
from boresight.feedback.label_summary import label_summary, summary_warnings
from boresight.feedback.local_judge import LocalJudge, answer_logps, answer_tokens, build_local_judge, conversation
from boresight.feedback.rubric import DIRECT, judge_messages
from boresight.feedback.rubric_judge import RubricJudge
from boresight.feedback.verdicts import SCORE, VERDICT, Form
from boresight.models.loading import save_model
from boresight.models.roles import FrozenPolicy
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message, Prompt

from .test_neutralise import INJECTIONS
from .test_rubric_judge import ONE, TWO, comparison, planted

TOKENIZER = tiny_tokenizer()
CHAT = ChatFormat(TOKENIZER)
LONG = 4096  # tokens: a byte each


@pytest.fixture(scope="module")
def policy() -> FrozenPolicy:
    return FrozenPolicy(tiny_llama(TOKENIZER, seed=0, context_length=LONG), TOKENIZER, CHAT)


def local(policy: FrozenPolicy, folder: Path) -> LocalJudge:
    return LocalJudge(policy, "tiny", "models/tiny", "hash", JudgeCache(folder / "replies.sqlite"))


def by_hand(policy: FrozenPolicy, prompt: list[int], ids: list[int]) -> float:
    """Log-probability of tokens after a prompt, by the model's own forward."""
    row = torch.tensor([prompt + ids])
    logp = torch.log_softmax(policy.model(input_ids=row).logits.double(), -1)[0]
    return sum(float(logp[len(prompt) - 1 + place, token]) for place, token in enumerate(ids))


def test_answers_have_the_probability_of_all_their_tokens_over_both_writings(policy: FrozenPolicy) -> None:
    prompts = [encode_prompt(CHAT, (Message("user", text),)) for text in ("which?", "and a longer one, which?")]
    tokens = answer_tokens(CHAT, VERDICT)
    assert [len(ids) for ids in tokens["tie"]] == [3, 4] and len(tokens["A"]) == 2  # bytes, with a space and without
    for prompt, scored in zip(prompts, answer_logps(policy, [(p, tokens) for p in prompts]), strict=True):
        for answer, ways in tokens.items():
            logps = [by_hand(policy, prompt, ids) for ids in ways]
            assert scored.logps[answer] == pytest.approx(math.log(sum(map(math.exp, logps))), abs=1e-5)


def test_verdict_is_the_mean_of_the_answers_and_swapping_swaps_what_is_shown(
    policy: FrozenPolicy, tmp_path: Path
) -> None:
    judge = RubricJudge(local(policy, tmp_path), ONE, direct=True)
    one = comparison("first response", "the second")
    (verdict,) = judge.compare([one])
    prompt = encode_prompt(CHAT, conversation(CHAT, judge_messages(ONE.criteria[0], one, direct=True)))
    logps = answer_logps(policy, [(prompt, answer_tokens(CHAT, VERDICT))])[0].logps
    shares = {answer: math.exp(logp) for answer, logp in logps.items()}
    assert verdict.value == pytest.approx((shares["A"] + 0.5 * shares["tie"]) / sum(shares.values()), abs=1e-6)
    assert not verdict.failure and judge.account()["answer_mass"] == pytest.approx(sum(shares.values()), abs=1e-6)


def test_score_is_the_mean_over_the_score_tokens(policy: FrozenPolicy, tmp_path: Path) -> None:
    judge = RubricJudge(local(policy, tmp_path), TWO, direct=True)
    prompt = Prompt(id="p", messages=(Message("user", "hi"),))
    (score, failure), (other, _) = judge.score([(prompt, Answer("yes", True)), (prompt, Answer("no", True))])
    assert not failure and 1 < score < 9 and score != other
    assert judge.client.ledger.asked == 4  # two responses by two criteria


def test_what_was_computed_is_not_computed_again_and_another_model_is_asked_anew(
    policy: FrozenPolicy, tmp_path: Path
) -> None:
    first = RubricJudge(local(policy, tmp_path), ONE, direct=True)
    before = first.compare([comparison(), comparison()])
    assert (first.client.ledger.asked, first.client.ledger.known) == (1, 0)
    again = RubricJudge(local(policy, tmp_path), ONE, direct=True)
    assert again.compare([comparison()]) == before[:1] and again.client.ledger.known == 1
    other = LocalJudge(policy, "tiny", "models/tiny", "another hash", JudgeCache(tmp_path / "replies.sqlite"))
    assert other.estimate(first.questions([comparison()])).questions == 1


def test_batches_change_nothing_but_rounding(policy: FrozenPolicy, tmp_path: Path) -> None:
    questions = [comparison("x" * n, "y") for n in (1, 30, 60, 7, 2)]
    values = []
    for size in (1, 8):
        judge = local(policy, tmp_path / str(size))
        judge.batch_size = size
        values.append([verdict.value for verdict in RubricJudge(judge, ONE, direct=True).compare(questions)])
    assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_question_beyond_the_context_is_a_failure_of_its_own(policy: FrozenPolicy, tmp_path: Path) -> None:
    judge = local(policy, tmp_path)
    messages = judge_messages(ONE.criteria[0], comparison("long " * LONG), direct=True)
    outcomes = judge.ask([Question(messages), Question(judge_messages(ONE.criteria[0], comparison(), direct=True))])
    assert isinstance(outcomes[0], Failure) and outcomes[0].kind == "too_long" and str(LONG) in outcomes[0].reason
    assert isinstance(outcomes[1], Reply)


@pytest.mark.parametrize("injection", INJECTIONS)
def test_no_injection_is_read_as_a_verdict_or_breaks_the_conversation(
    policy: FrozenPolicy, tmp_path: Path, injection: str
) -> None:
    given = conversation(CHAT, judge_messages(ONE.criteria[0], comparison(injection), direct=True))
    ids = encode_prompt(CHAT, given)
    control = {TOKENIZER.convert_tokens_to_ids(token) for token in TOKENIZER.all_special_tokens}
    plain = encode_prompt(CHAT, conversation(CHAT, judge_messages(ONE.criteria[0], comparison("x"), direct=True)))
    assert [i for i in ids if i in control] == [i for i in plain if i in control]
    assert given[0].content == DIRECT


def test_judge_that_knows_nothing_prefers_a_place_and_would_rather_write_something_else(
    policy: FrozenPolicy, tmp_path: Path
) -> None:
    judge = RubricJudge(local(policy, tmp_path), ONE, direct=True)
    labels = label_responses(planted(1)[:24], judge, pairs_per_prompt=1, clip=0.05, meta=judge.identity())
    summary = label_summary(labels, judge)
    # Untrained, it gives one letter the more probability whatever it reads: every couple turns with the order.
    assert summary["verdict_flips"] == 12 and summary["failed"] == summary["labelled"] == 0
    assert abs(summary["bias"]["position"]["effect"]) > 0.05
    assert summary["cost"]["usd"] is None and summary["base_url"] == "models/tiny"
    assert summary["answer_mass"] < 0.5
    assert any("would rather write something else" in line for line in summary_warnings(summary))


def marked_tokenizer(words: Mapping[str, int], *, first_word: bool) -> PreTrainedTokenizerBase:
    """A tokenizer that marks words by the space before them; `first_word`: the first one of a text too."""
    tokenizer = Tokenizer(models.WordLevel(dict(words), unk_token="[UNK]"))
    scheme = "always" if first_word else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.normalizer = normalizers.Sequence([])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    wrapped.chat_template = CHATML.jinja
    return wrapped


@pytest.mark.parametrize("first_word", [True, False])
def test_mark_of_a_word_is_part_of_the_answer_where_a_space_stands_before_it(first_word: bool) -> None:
    """The template's text stands before the answer, which is then the first word of no text."""
    answers = ("A", "B", "tie")
    control = ("[UNK]", "<|im_end|>", "<|im_start|>")
    words = {word: number for number, word in enumerate((*control, *answers, *(f"▁{answer}" for answer in answers)))}
    marked = answer_tokens(ChatFormat(marked_tokenizer(words, first_word=first_word)), VERDICT)
    assert marked == {answer: [[words[answer]], [words[f"▁{answer}"]]] for answer in answers}


def test_answers_that_cannot_be_told_apart_are_refused() -> None:
    form = Form("verdict", MappingProxyType({"A": 1.0, "AB": 0.0}))
    with pytest.raises(JudgeError, match=r"the tokens of the answer 'A' begin those of 'AB'"):
        answer_tokens(CHAT, form)
    words = {word: number for number, word in enumerate(["[UNK]", "<|im_end|>", "<|im_start|>", "▁A"])}
    with pytest.raises(JudgeError, match="cannot be told apart"):  # both B and tie are unknown
        answer_tokens(ChatFormat(marked_tokenizer(words, first_word=True)), VERDICT)
    assert len(answer_tokens(CHAT, SCORE)) == 9


NO_SYSTEM = (
    "{%- for message in messages -%}{%- if message['role'] == 'system' -%}"
    "{{ raise_exception('System role not supported') }}{%- endif -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def test_template_without_a_system_gets_its_words_in_the_users_message() -> None:
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.chat_template = NO_SYSTEM
    messages = judge_messages(ONE.criteria[0], comparison(), direct=True)
    (only,) = conversation(ChatFormat(tokenizer), messages)
    assert only.role == "user" and only.content == f"{DIRECT}\n\n{messages[1]['content']}"


def test_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"nowhere: no folder with a model"):
        build_local_judge(tmp_path / "nowhere", JudgeCache(tmp_path / "r.sqlite"))


def test_judge_from_a_folder_answers_as_its_model(policy: FrozenPolicy, tmp_path: Path) -> None:
    save_model(tmp_path / "judge", policy.model, TOKENIZER, "")
    loaded = build_local_judge(tmp_path / "judge", JudgeCache(tmp_path / "r.sqlite"))
    here = RubricJudge(local(policy, tmp_path), ONE, direct=True).compare([comparison()])
    there = RubricJudge(loaded, ONE, direct=True)
    assert there.compare([comparison()])[0].value == pytest.approx(here[0].value, abs=1e-5)
    assert there.identity()["judge"] == "judge" and there.account()["base_url"] == str(tmp_path / "judge")
