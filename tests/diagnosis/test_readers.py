"""Every form of log that is read, written out by hand as its framework writes it."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.folders import read_logs
from boresight.diagnosis.signals import LoggedRun
from boresight.errors import DataError


def read(path: Path, text: str) -> LoggedRun:
    path.write_text(text)
    return read_logs(path)[0].run


def values(run: LoggedRun, name: str) -> list[float]:
    return run.signals[name].values.tolist()


def steps(run: LoggedRun, name: str) -> list[float]:
    return run.signals[name].steps.tolist()


def test_dict_lines_of_trainer_among_progress_bars_and_colour(tmp_path: Path) -> None:
    text = (
        "Loading checkpoint shards: 100%\r"
        "  5%|5  | 1/20 [00:10<02:00]\r{'loss': 0.6931, 'grad_norm': 1.5, 'learning_rate': 1e-06, 'rewards/chosen': "
        "0.0, 'rewards/rejected': 0.0, 'rewards/margins': 0.0, 'epoch': 0.05}\n"
        "\x1b[32m{'loss': '0.61', 'grad_norm': np.float64(2.5), 'learning_rate': 2e-06, 'rewards/chosen': 0.1, "
        "'rewards/rejected': -0.1, 'rewards/margins': 0.2, 'epoch': 0.1}\x1b[0m\n"
        "{'loss': nan, 'grad_norm': inf, 'learning_rate': 3e-06, 'epo"
    )
    run = read(tmp_path / "train.log", text)
    assert (run.method, run.framework) == ("dpo", "trl")
    assert values(run, "loss/total")[:2] == [0.6931, 0.61] and math.isnan(values(run, "loss/total")[2])
    assert values(run, "optim/grad_norm") == [1.5, 2.5, math.inf]
    assert values(run, "reward/margin") == [0.0, 0.2]


def test_verl_console(tmp_path: Path) -> None:
    line = (
        "\x1b[36m(TaskRunner pid=1)\x1b[0m step:{0} - actor/entropy:0.1 - actor/pg_clipfrac:np.float64(0.0) - "
        "actor/ppo_kl:np.float64(-8e-06) - critic/score/mean:-0.2{0} - response_length/mean:17.0 - "
        "response_length/clip_ratio:0.25\n"
    )
    run = read(tmp_path / "log.txt", line.format(1) + line.format(5))
    assert (run.method, run.framework, run.steps) == ("grpo", "verl", 2)
    assert values(run, "reward/score") == [-0.21, -0.25] and steps(run, "reward/score") == [1, 5]
    assert values(run, "policy/kl_old_to_new") == [-8e-06, -8e-06]
    assert values(run, "rollout/stop_rate") == [0.75, 0.75]


def test_deepspeed_chat_console(tmp_path: Path) -> None:
    text = (
        "[2023-04-18 08:48:01,543] [INFO] OVERFLOW! Rank 0 Skipping step.\n"
        "epoch: 0|step: 0|ppo_ep: 1|act_loss: 0.2|cri_loss: 0.12|unsuper_loss: 0.0\naverage reward score: -0.67\n"
        "epoch: 0|step: 1|ppo_ep: 1|act_loss: 0.1|cri_loss: 0.11|unsuper_loss: 0.0\naverage reward score: 4.5\n"
        "epoch: 1|step: 0|ppo_ep: 1|act_loss: 0.1|cri_loss: 0.10|unsuper_loss: 0.0\naverage reward score: 4.6\n"
    )
    run = read(tmp_path / "log.txt", text)
    assert (run.method, run.framework) == ("ppo", "deepspeed-chat")
    assert values(run, "reward/score") == [-0.67, 4.5, 4.6]
    assert steps(run, "reward/score") == [0, 1, 1]  # the step counts anew in each epoch


def test_deepspeed_chat_evaluations(tmp_path: Path) -> None:
    text = (
        "***** Evaluating reward, Epoch 0/1 *****\n"
        "chosen_last_scores (higher is better) : 0.04, acc (higher is better) : 0.504\n"
        "Epoch 1/1 with loss 0.67\n***** Evaluating reward, Epoch 1/1 *****\n"
        "chosen_last_scores (higher is better) : 0.11, acc (higher is better) : 0.65\n"
    )
    run = read(tmp_path / "log.txt", text)
    assert run.method == "rm"
    assert values(run, "eval/accuracy") == [0.504, 0.65] and values(run, "loss/total") == [0.67]


def test_trainer_state_with_bare_nan_and_planned_steps(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": 0.7, "grad_norm": 1.0, "learning_rate": 1e-5}, {"step": 2, "eval_loss": math.nan}]
    run = read(tmp_path / "trainer_state.json", json.dumps({"max_steps": 4, "log_history": rows}, indent=1))
    assert (run.method, run.framework) == ("sft", "transformers")
    assert math.isnan(values(run, "eval/loss")[0]) and values(run, "run/progress") == [0.5]


def test_trainer_state_that_is_cut_off_gives_what_stands_before_the_cut(tmp_path: Path) -> None:
    rows = [{"step": n, "loss": 1 / n, "grad_norm": 1.0, "learning_rate": 1e-5} for n in range(1, 9)]
    text = json.dumps({"log_history": rows}, indent=1)
    run = read(tmp_path / "trainer_state.json", text[: len(text) - 60])
    assert run.steps == 7 and "cut off" in run.remarks[0]


def test_trainer_log_of_llama_factory(tmp_path: Path) -> None:
    lines = [
        {"current_steps": n, "total_steps": 30, "loss": 1.0 / n, "lr": 1e-5, "percentage": 3.3 * n} for n in (10, 20)
    ]
    run = read(tmp_path / "trainer_log.jsonl", "\n".join(map(json.dumps, lines)))
    assert (run.framework, run.method) == ("llama-factory", "sft")
    assert steps(run, "loss/total") == [10, 20] and values(run, "run/progress") == [0.33, 0.66]


@pytest.mark.parametrize(
    ("row", "framework", "signal", "expected"),
    [
        ({"objective/kl": 8.0, "policy/approxkl_avg": 0.1}, "trl", "policy/kl_to_reference", 8.0),
        ({"kl": 0.04, "completions/mean_length": 100, "reward_std": 1.0}, "trl", "policy/kl_per_token", 0.04),
        ({"kl": 0.04, "ppo_clip_ratio": 0.1, "actor_grad_norm": 1.0}, "openrlhf", "policy/kl_per_token", 0.04),
        ({"actor/kl_loss": 0.04, "actor/pg_loss": 0.1}, "verl", "policy/kl_per_token", 0.04),
        ({"policy/sqrt_kl": 3.0, "losses/value_loss": 0.1}, "trlx", "policy/kl_to_reference", 9.0),
        ({"kl_div": 0.04, "success_rate": 0.1}, "unknown", "policy/kl_unknown_unit", 0.04),
        ({"entropy": {"all": {"mean": 0.5}}, "mismatch_kl": {"all": {"mean": 0.1}}}, "prime-rl", "policy/entropy", 0.5),
        ({"gen_kl_error": 0.01, "reward": 0.5, "token_mult_prob_error": 1.0}, "nemo-rl", "policy/sampler_kl", 0.01),
        ({"progress/done_frac": 0.5, "env/all/reward/total": 0.2}, "tinker", "reward/score", 0.2),
        ({"ppo/mean_scores": 1.5, "objective/kl": 2.0, "ppo/loss/value": 0.1}, "trl", "reward/score", 1.5),
    ],
)
def test_units_of_kl_and_names_by_framework(
    tmp_path: Path, row: dict[str, object], framework: str, signal: str, expected: float
) -> None:
    run = read(tmp_path / "metrics.jsonl", "\n".join(json.dumps({"step": n, **row}) for n in range(3)))
    assert run.framework == framework
    assert values(run, signal) == [expected] * 3


def test_a_unit_that_the_log_does_not_tell_is_reported_and_not_guessed(tmp_path: Path) -> None:
    run = read(tmp_path / "log.csv", "step,kl_div,success_rate\n0,0.1,0.2\n1,0.2,0.2\n")
    assert "kl_div" in run.unknown
    assert "policy/kl_per_token" not in run.signals and "policy/kl_to_reference" not in run.signals


def test_an_entropy_that_padding_pollutes_is_no_signal(tmp_path: Path) -> None:
    text = "objective/kl,objective/entropy,objective/scores,loss/value_avg\n2.5,-103.1,0.3,5.1\n2.6,-106,0.2,5.2\n"
    run = read(tmp_path / "log.csv", text)
    assert "policy/entropy" not in run.signals and "padded" in run.unknown["objective/entropy"]


def test_console_of_nemo_rl(tmp_path: Path) -> None:
    text = "".join(
        f"========================= Step {n}/100 =========================\n📊 Training Results:\n  • Loss: 0.01{n}\n"
        f"  • Avg Reward: 0.3{n}\n  • Mean Generation Length: 12.0\n"
        for n in (1, 2)
    )
    run = read(tmp_path / "log.txt", text)
    assert values(run, "reward/score") == [0.31, 0.32] and steps(run, "reward/score") == [1, 2]
    assert values(run, "loss/total") == [0.011, 0.012]


def test_steps_with_commas_between_thousands_are_no_new_start(tmp_path: Path) -> None:
    lines = [f"Step {n:,}/2,000 loss: {1 / n:.6f} grad_norm: 1.0" for n in range(200, 2001, 200)]
    run = read(tmp_path / "train.log", "\n".join(lines))
    assert (run.starts, run.steps, run.last_step) == (1, 10, 2000.0)
    assert run.signals["run/progress"].values.tolist() == [1.0]


def test_console_of_prime_rl_and_of_minimind(tmp_path: Path) -> None:
    prime = (
        "10:00:01 SUCCESS Step 12 | Time: 30.1s | Loss: 0.01 | Entropy: 0.5 | Mismatch KL: 0.001 | Grad. Norm: 0.1\n"
    )
    run = read(tmp_path / "a.log", prime + prime.replace("12", "13"))
    assert values(run, "policy/sampler_kl") == [0.001] * 2 and values(run, "optim/grad_norm") == [0.1] * 2
    assert steps(run, "policy/entropy") == [12, 13]
    mini = (
        "Epoch:[1/1](20/4292), loss: 0.66, dpo_loss: 0.65, aux_loss: 0.0, learning_rate: 0.00000004, epoch_time: 9min\n"
    )
    run = read(tmp_path / "b.log", mini + mini.replace("(20/", "(40/"))
    assert (run.method, steps(run, "loss/total"), values(run, "loss/total")) == ("dpo", [20, 40], [0.66, 0.66])


@pytest.mark.parametrize("line", ["step {n} | loss 0.{n} | grad_norm 1.5", "step={n} loss=0.{n} grad_norm=1.5",
                                  "INFO 2026-01-01 10:00 | step {n} | loss 0.{n} | grad_norm 1.5",
                                  "step: {n}  loss: 0.{n}  grad_norm: 1.5"])  # fmt: skip
def test_pairs_as_loops_of_ones_own_print_them(tmp_path: Path, line: str) -> None:
    run = read(tmp_path / "log.txt", "".join(line.format(n=n) + "\n" for n in (11, 12)))
    assert values(run, "loss/total") == [0.11, 0.12] and steps(run, "optim/grad_norm") == [11, 12]


def test_progress_bar_of_openrlhf(tmp_path: Path) -> None:
    bar = "Train epoch [1/1]:  10%|█| 3/30 [00:10<01:30, act_loss=-0.012, reward=0.52, gen_len=210, kl=0.0021]\r"
    run = read(tmp_path / "log.txt", bar * 3)
    assert values(run, "reward/score") == [0.52] * 3 and values(run, "loss/policy") == [-0.012] * 3


def test_exports_of_wandb_and_mlflow(tmp_path: Path) -> None:
    wandb = '"Step","happy-run-7 - train/reward","happy-run-7 - train/reward__MIN","happy-run-7 - train/reward__MAX"\n'
    run = read(tmp_path / "wandb.csv", wandb + '"1","0.5","0.1","0.9"\n"2","0.6","0.1","0.9"\n')
    assert values(run, "reward/score") == [0.5, 0.6] and steps(run, "reward/score") == [1, 2]
    mlflow = [
        {"key": k, "value": v, "step": s, "timestamp": 1} for s in (1, 2) for k, v in (("loss", 0.5), ("grad_norm", 1))
    ]
    run = read(tmp_path / "mlflow.json", json.dumps(mlflow))
    assert values(run, "loss/total") == [0.5, 0.5] and steps(run, "optim/grad_norm") == [1, 2]


def test_json_of_lists_and_tables_with_gaps(tmp_path: Path) -> None:
    run = read(tmp_path / "log.json", json.dumps({"rewards_avg": [0.1, 0.2, None, 0.4], "kl_avg": [0.0, 0.1]}))
    assert steps(run, "reward/score") == [0, 1, 3] and values(run, "policy/kl_unknown_unit") == [0.0, 0.1]
    run = read(tmp_path / "log.tsv", "step\tloss\teval_loss\n1\t0.5\t\n2\t\t0.7\n3\tnan\t0.6\n")
    assert steps(run, "eval/loss") == [2, 3] and len(run.signals["loss/total"]) == 2


def test_a_loss_that_is_null_to_the_end_is_nan_and_one_that_is_null_between_numbers_a_gap(tmp_path: Path) -> None:
    def losses(*found: float | None) -> LoggedRun:
        rows = [{"step": step + 1, "loss": loss, "grad_norm": 1.0} for step, loss in enumerate(found)]
        return read(tmp_path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    lost = losses(0.7, 0.6, None, None, None)
    assert np.isnan(values(lost, "loss/total")[2:]).all() and steps(lost, "loss/total") == [1, 2, 3, 4, 5]
    assert any("loss is null from step 3 to the end" in remark for remark in lost.remarks)
    first = diagnose(lost).findings[0]
    assert (first.id, first.severity, first.evidence[0].step_to) == ("nan_inf", "error", 3)
    lists = read(tmp_path / "lists.json", json.dumps({"step": [1, 2, 3, 4, 5], "loss": [0.7, 0.6, None, None, None]}))
    assert np.isnan(values(lists, "loss/total")[2:]).all()
    for gaps in ((0.7, None, 0.6, None, None, None), (0.7, 0.6, None, None), (None, None, None, 0.7)):
        assert np.isfinite(losses(*gaps).signals["loss/total"].values).all()


def test_rows_at_the_end_that_sum_up_are_no_lost_loss(tmp_path: Path) -> None:
    rows: list[dict[str, float | None]] = [
        {"step": 5 * n, "loss": 0.7 - 0.1 * n, "eval_loss": None} for n in range(1, 4)
    ]
    rows += [{"step": 17, "loss": None, "eval_loss": 0.5}] * 3
    assert len(read(tmp_path / "log.json", json.dumps(rows)).signals["loss/total"]) == 3


def test_a_resume_counts_once_and_a_new_start_is_another_run(tmp_path: Path) -> None:
    resumed = [*range(1, 21), *range(15, 31)]
    text = "\n".join(
        json.dumps({"step": s, "loss": 1 + n, "grad_norm": 1, "learning_rate": 1}) for n, s in enumerate(resumed)
    )
    run = read(tmp_path / "a.jsonl", text)
    assert (run.starts, run.steps) == (1, 30)
    assert run.signals["loss/total"].values[14] == 21  # row 21 of the file wrote step 15 again
    again = [*range(1, 11), *range(1, 31)]
    text = "\n".join(json.dumps({"step": s, "loss": 1.0, "grad_norm": 1, "learning_rate": 1}) for s in again)
    run = read(tmp_path / "b.jsonl", text)
    assert (run.starts, run.steps, run.other_rows) == (2, 30, 10)


def test_ragged_rows_lines_that_are_not_json_and_gzip(tmp_path: Path) -> None:
    text = '{"step": 1, "loss": 1}\nWARNING: something\n{"step": 2, "loss": 2, "grad_norm": 3}\n{"step": 3, "lo'
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    run = read_logs(path)[0].run
    assert values(run, "loss/total") == [1, 2] and values(run, "optim/grad_norm") == [3]
    assert "2 lines are not JSON" in run.remarks[0] and "line 2" in run.remarks[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.log", b"", "empty"),
        ("blank.jsonl", b"\n\n \n", "empty"),
        ("prose.txt", b"Nothing to see here.\nMove along.\n", "no metrics"),
        ("numbers.json", b"[1, 2, 3]", "no metrics"),
        ("cut.gz", gzip.compress(b"x" * 5000, mtime=0)[:-20], "cut off"),
        ("bad.gz", gzip.compress(bytes(range(256)) * 8, mtime=0)[:20] + b"\xff" * 80, "damaged"),
        ("zero.log", b"\x00" * 50, "empty"),
    ],
)
def test_what_holds_no_metrics_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as refused:
        read_logs(tmp_path / name)
    assert name in str(refused.value)


def test_absent_paths_empty_folders_and_event_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_logs(tmp_path / "nowhere.log")
    with pytest.raises(DataError, match="no log in this folder"):
        read_logs(tmp_path)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"x")
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(DataError, match="pip install tensorboard"):
            read_logs(tmp_path)


def test_the_newest_checkpoint_of_a_trainers_folder_is_read(tmp_path: Path) -> None:
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        rows = [{"step": n, "loss": 1.0, "grad_norm": 1.0, "learning_rate": 1e-5} for n in range(step)]
        (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text(json.dumps({"log_history": rows}))
    assert read_logs(tmp_path)[0].run.steps == 10


@pytest.mark.parametrize(("kind", "method"), [("reward_model", "rm"), ("pretrain", "pretrain"), ("sft", "sft")])
def test_a_stage_of_ours_names_its_method_itself(kind: str, method: str, tmp_path: Path) -> None:
    stage = tmp_path / "stages" / "scorer"
    stage.mkdir(parents=True)
    (tmp_path / "run.json").write_text("{}")
    (stage / "config.json").write_text(json.dumps({"kind": kind}))
    rows = [{"step": 1, "split": "train", "loss/total": 0.7}, {"step": 1, "split": "held_out", "eval/accuracy": 0.6}]
    (stage / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (log,) = read_logs(tmp_path)
    assert (log.run.method, log.run.framework, log.name) == (method, "boresight", str(stage))
    assert values(log.run, "eval/accuracy") == [0.6]


def test_a_number_too_large_for_a_float_is_infinite(tmp_path: Path) -> None:
    run = read(tmp_path / "log.jsonl", '{"step": 1, "loss": 1' + "0" * 400 + '}\n{"step": 2, "loss": true}\n')
    assert values(run, "loss/total") == [math.inf]
    assert np.isinf(run.signals["loss/total"].values).all()
