from pathlib import Path

import pytest
import torch

from boresight.errors import DataError, TrainingError
from boresight.models.tiny import END_OF_TEXT
from boresight.runlog.reader import read_metrics
from boresight.training.pretrain import token_rows, train_pretrain

from . import tiny_world as tiny


def test_loss_falls_to_nearly_nothing_on_text_that_can_be_foretold(tmp_path: Path) -> None:
    model = tiny.fresh_model()
    rows = token_rows(tiny.TOKENIZER, ["one two three four five six seven. " * 40], 24)
    config = tiny.pretrain_config(steps=80, batch_size=16, learning_rate=1e-2)
    train_pretrain(config, model, rows, tiny.run_in(tmp_path, checkpoint_every=1000))
    losses = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("loss/total")]
    assert losses[0] == pytest.approx(5.56, abs=0.2)  # ln 260
    # Within a row the text is certain after the first few letters, which tell where in the sentence the row begins.
    assert sum(losses[-5:]) / 5 < 0.5


def test_rows_hold_the_documents_one_after_another_parted_by_the_end_token() -> None:
    end = tiny.TOKENIZER.convert_tokens_to_ids(END_OF_TEXT)
    rows = token_rows(tiny.TOKENIZER, ["abc", "de", "f"], 4)
    a, b, c, d, e = tiny.TOKENIZER.encode("abcde")
    assert rows.tolist() == [[a, b, c, end], [d, e, end, tiny.TOKENIZER.encode("f")[0]]]  # the last end is left over


def test_text_shorter_than_a_row_is_refused() -> None:
    with pytest.raises(DataError, match=r"hold 4 tokens, fewer than one row of sequence_length = 24"):
        token_rows(tiny.TOKENIZER, ["abc"], 24)


def test_every_row_is_met_once_an_epoch(tmp_path: Path) -> None:
    """A row that is met moves the embedding of its own byte, seen in the gradient of that step."""
    rows = torch.arange(10, 26).view(8, 2)  # each byte stands in one row
    model = tiny.fresh_model()
    met: list[set[int]] = []
    model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, __: met.append(set(inputs[0].flatten().tolist()))
    )
    train_pretrain(tiny.pretrain_config(steps=4, batch_size=4), model, rows, tiny.run_in(tmp_path))
    firsts = set(range(10, 26, 2))  # a row's last token predicts nothing and may be left out
    seen = [batch & firsts for batch in met if batch & firsts]  # the probes of the model hold other bytes
    assert seen[0] | seen[1] == seen[2] | seen[3] == firsts
    assert seen[:2] != seen[2:]  # in another order


def test_loss_that_is_not_finite_names_the_rows(tmp_path: Path) -> None:
    model = tiny.fresh_model()
    rows = token_rows(tiny.TOKENIZER, ["abcd" * 40], 16)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = torch.inf
    with pytest.raises(TrainingError, match=r"step 0: loss/nll is not finite \(records row \d"):
        train_pretrain(tiny.pretrain_config(batch_size=4), model, rows, tiny.run_in(tmp_path))
