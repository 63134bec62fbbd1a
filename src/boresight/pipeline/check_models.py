"""What takes a tokenizer or the rule judge to see: templates, masks, lengths and expectations. Loads torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.sections import (
    AILabelsStage,
    AnswerReward,
    EvaluateStage,
    KTOStage,
    PolicyStage,
    PreferencesStage,
    PreferenceStage,
    PretrainStage,
    RulesJudge,
    RulesReward,
    SampleStage,
    SFTStage,
    StageSection,
    TextStage,
)
from boresight.data.chat_template import ChatFormat
from boresight.data.template_date import DATE
from boresight.data.tokenize import encode_conversation, encode_pair, encode_prompt, encode_rated, probe_mask
from boresight.errors import DataError, ModelError
from boresight.feedback.rule_judge import parse_rules
from boresight.feedback.verifiable import expected_answer
from boresight.models.loading import chat_format, load_tokenizer
from boresight.models.tiny import train_tokenizer
from boresight.pipeline.check_data import PipelineData
from boresight.pipeline.check_findings import Finding
from boresight.pipeline.check_lineage import local_model, root_of, start_of
from boresight.planning.model_folders import folder_shape
from boresight.records import Demonstration, Message, PreferencePair, Prompt, RatedResponse

Length = tuple[str, int]  # record id, tokens

MOST_TEXT = 50_000_000
"""Characters of text on which a tokenizer is trained for a check: some seconds."""
MOST_RECORDS = 20_000
"""Records of a stage that are tokenised for a check, the longest by characters."""


@dataclass(slots=True)
class ModelFindings:
    """`longest`: tokens of the longest row of a stage, the response's room included, where that is known."""

    findings: list[Finding] = field(default_factory=list)
    longest: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Root:
    """A tokenizer at the beginning of a line of models, and the context its models have."""

    name: str
    chat: ChatFormat
    context: int | None
    measured: dict[int, int] = field(default_factory=dict)
    """Tokens of the records measured so far, by the identity of the record: stages share records."""

    def tokens(self, row: "Row") -> int:
        key = id(row.record)
        if key not in self.measured:
            self.measured[key] = row.tokens(self.chat)
        return self.measured[key]


class Row(NamedTuple):
    """A record to be tokenised: its characters, and how."""

    record: Prompt | Demonstration | PreferencePair | RatedResponse
    characters: int
    tokens: Callable[[ChatFormat], int]


def look_at_models(pipeline: Pipeline, data: PipelineData) -> ModelFindings:
    """Probe the template of every line of models, and measure every conversation against its context."""
    result = ModelFindings()
    result.findings.extend(_expectations(pipeline, data))
    roots: dict[str, Root | None] = {}
    for name in pipeline.stages:
        for reference in _models_of(pipeline, name):
            root = root_of(pipeline, reference)
            if root not in roots:
                roots[root] = _open_root(pipeline, data, root, result.findings)
    for name, stage in pipeline.stages.items():
        for root in dict.fromkeys(root_of(pipeline, model) for model in _models_of(pipeline, name)):
            if (opened := roots[root]) is not None:
                _measure(pipeline, data, name, stage, opened, result)
    return result


def _models_of(pipeline: Pipeline, name: str) -> list[str]:
    """The models that write with a stage's conversations: what it trains, samples from or compares."""
    stage = pipeline.stages[name]
    if isinstance(stage, EvaluateStage):
        return [stage.baseline, *stage.candidates]
    if isinstance(stage, SampleStage):
        return [stage.policy] if isinstance(stage.policy, str) else stage.policy
    start = start_of(pipeline, name)
    return [] if start is None else [start]


def _open_root(pipeline: Pipeline, data: PipelineData, name: str, findings: list[Finding]) -> Root | None:
    stage = None if name == BASE_MODEL else name
    try:
        root = _base_root(pipeline, findings) if stage is None else _pretrain_root(pipeline, data, stage, findings)
        if root is not None:
            probe_mask(root.chat)
    except ModelError as error:
        findings.append(Finding("template_unusable", "error", stage, str(error), ModelError))
        return None
    if root is not None:
        findings.append(
            Finding(
                "template_probed",
                "note",
                stage,
                f"chat template of {name}: exactly the assistant's turns are trained, each up to one "
                f"{root.chat.stop_token}; no double BOS"
                + (f"; today's date is always {DATE:%d %b %Y}" if root.chat.reads_clock else ""),
            )
        )
    return root


def _base_root(pipeline: Pipeline, findings: list[Finding]) -> Root | None:
    folder = local_model(pipeline)
    if folder is None:
        findings.append(
            Finding(
                "not_tokenised",
                "note",
                None,
                f"{pipeline.model_path} is no folder here: its template and the lengths of conversations are checked "
                "when the run loads it",
            )
        )
        return None
    chat = chat_format(load_tokenizer(folder), pipeline.sections.model.chat_template)
    shape = folder_shape(folder)
    return Root(BASE_MODEL, chat, None if shape is None else shape.context_length)


def _pretrain_root(pipeline: Pipeline, data: PipelineData, name: str, findings: list[Finding]) -> Root | None:
    """The tokenizer that the stage will train: it follows from the text alone."""
    stage = pipeline.stages[name]
    assert isinstance(stage, PretrainStage)
    documents = data.stages[name].documents
    characters = sum(map(len, documents))
    if not documents or characters > MOST_TEXT:
        why = "its text could not be read" if not documents else f"its text is long ({characters} characters)"
        findings.append(
            Finding(
                "not_tokenised", "note", name, f"{why}: lengths of conversations are checked when the run gets there"
            )
        )
        return None
    tokenizer = train_tokenizer(documents, stage.vocabulary_size, stage.chat_template)
    return Root(name, ChatFormat(tokenizer), stage.context_length)


def _measure(
    pipeline: Pipeline, data: PipelineData, name: str, stage: StageSection, root: Root, result: ModelFindings
) -> None:
    """Tokens of a stage's rows against the limit of the stage and the context of its model."""
    room = stage.max_new_tokens if isinstance(stage, SampleStage | PolicyStage | EvaluateStage) else 0
    limit = root.context
    if isinstance(stage, TextStage) and stage.max_length is not None:
        if limit is not None and stage.max_length > limit:
            result.findings.append(_max_length_over(name, stage.max_length, limit))
        limit = stage.max_length if limit is None else min(limit, stage.max_length)
    rows = list(_rows(pipeline, data, name, stage))
    if len(rows) > MOST_RECORDS:
        rows.sort(key=lambda row: -row.characters)
        result.findings.append(
            Finding(
                "longest_tokenised", "note", name, f"{MOST_RECORDS} of {len(rows)} records tokenised, the longest ones"
            )
        )
        rows = rows[:MOST_RECORDS]
    lengths, faults = _tokenise(rows, root)
    if faults:
        message = f"{faults[0]}" + (f" In all {len(faults)} records are like this." if len(faults) > 1 else "")
        result.findings.append(Finding("conversation_unusable", "error", name, message, type(faults[0])))
    if not lengths:
        return
    longest = max(tokens for _, tokens in lengths) + room
    result.longest[name] = max(result.longest.get(name, 0), longest if limit is None else min(longest, limit))
    if limit is not None and longest > limit:
        over = [(record, tokens) for record, tokens in lengths if tokens + room > limit]
        result.findings.append(_too_long(name, stage, over, len(lengths), room, limit))


def _tokenise(rows: Sequence[Row], root: Root) -> tuple[list[Length], list[DataError | ModelError]]:
    lengths: list[Length] = []
    faults: list[DataError | ModelError] = []
    for row in rows:
        try:
            lengths.append((row.record.id, root.tokens(row)))
        except (DataError, ModelError) as error:
            faults.append(error)
    return lengths, faults


def _too_long(name: str, stage: StageSection, over: Sequence[Length], total: int, room: int, limit: int) -> Finding:
    """Dropped where the stage says so, unless nothing would be left; an error otherwise. Nothing is ever truncated."""
    worst, tokens = max(over, key=lambda length: length[1])
    what, fact = "conversations", f"{worst} has {tokens} tokens, the limit is {limit}"
    if room:
        what = "prompts leave no room for a response and"
        fact = f"{worst} has {tokens} tokens, with max_new_tokens = {room} more than the model's context of {limit}"
    drops = getattr(stage, "on_too_long", "error") == "drop" and len(over) < total
    if drops:
        message = f"{len(over)} of {total} {what} will be left out, as on_too_long says: {fact}."
    else:
        choice = "" if isinstance(stage, PolicyStage) else ", or set `on_too_long: drop` (the count is reported)"
        todo = "lower max_new_tokens" if room else "raise the limit"
        message = f"{len(over)} of {total} {what} are too long: {fact}. Shorten them, {todo}{choice}."
    finding_id = "prompt_too_long" if room else "conversation_too_long"
    return Finding(finding_id, "note" if drops else "error", name, message, DataError)


def _max_length_over(name: str, max_length: int, context: int) -> Finding:
    return Finding(
        "max_length_over_context",
        "error",
        name,
        f"max_length is {max_length} tokens, the model's context {context}. Lower it, or leave it out.",
    )


def _rows(pipeline: Pipeline, data: PipelineData, name: str, stage: StageSection) -> Iterator[Row]:
    """Everything that a stage feeds to a tokenizer, as far as it comes from files."""
    own = data.stages[name]
    yield from map(_prompt_row, own.prompts)
    if isinstance(stage, SFTStage):
        yield from map(_demonstration_row, own.demonstrations)
    yield from map(_rated_row, own.rated)
    if isinstance(stage, PreferenceStage | KTOStage):
        yield from map(_pair_row, (*own.pairs, *own.held_out))
        for source in pipeline.references(name).get("data", []):
            if isinstance(pipeline.stages[source], PreferencesStage):
                yield from map(_pair_row, data.stages[source].pairs)


def _prompt_row(prompt: Prompt) -> Row:
    return Row(
        prompt,
        _characters(prompt.messages),
        lambda chat: len(encode_prompt(chat, prompt.messages, record_id=prompt.id)),
    )


def _demonstration_row(demonstration: Demonstration) -> Row:
    return Row(
        demonstration,
        _characters(demonstration.messages),
        lambda chat: len(encode_conversation(chat, demonstration.messages, record_id=demonstration.id).input_ids),
    )


def _pair_row(pair: PreferencePair) -> Row:
    longer = max(_characters(pair.chosen), _characters(pair.rejected))
    return Row(pair, _characters(pair.prompt) + longer, lambda chat: encode_pair(chat, pair).tokens)


def _rated_row(rated: RatedResponse) -> Row:
    characters = _characters(rated.prompt) + _characters(rated.response)
    return Row(rated, characters, lambda chat: encode_rated(chat, rated).tokens)


def _characters(messages: Iterable[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _expectations(pipeline: Pipeline, data: PipelineData) -> Iterator[Finding]:
    """Prompts that a rule judge or a reward by rules will be asked about and that tell it nothing."""
    for name, stage in pipeline.stages.items():
        if isinstance(stage, EvaluateStage) and isinstance(stage.judge, RulesJudge):
            yield from _without_rules(name, data.stages[name].prompts)
        elif isinstance(stage, AILabelsStage) and isinstance(stage.judge, RulesJudge):
            yield from _without_rules(name, data.stages[stage.responses].prompts)
        elif isinstance(stage, PolicyStage):
            for part in stage.scored:
                if isinstance(part, RulesReward):
                    yield from _without_rules(name, data.stages[name].prompts)
                elif isinstance(part, AnswerReward):
                    yield from _without_rules(name, data.stages[name].prompts, expected_answer)


def _without_rules(
    name: str, prompts: Sequence[Prompt], expectation: Callable[[Prompt], object] = parse_rules
) -> Iterator[Finding]:
    faults = []
    for prompt in prompts:
        try:
            expectation(prompt)
        except DataError as error:
            faults.append(str(error))
    if faults:
        yield Finding(
            "expectation_unusable", "error", name, f"{len(faults)} of {len(prompts)} prompts: {faults[0]}", DataError
        )
