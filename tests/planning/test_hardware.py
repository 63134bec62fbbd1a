"""Which hardware and which model are meant; nonsense is refused with the nearest name."""

import json
from pathlib import Path

import pytest

from boresight.errors import PlanError
from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.hardware import catalogue, device_of, find_machine
from boresight.planning.known_models import find_model

SPEEDS = load_calibration(SHIPPED)


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("2xA100-80GB", 2, "A100-80GB"),
        ("8 x h100-80gb", 8, "H100-80GB"),
        ("H200", 1, "H200-141GB"),
        ("nvidia-l4", 1, "L4-24GB"),
        ("RTX4090", 1, "RTX4090-24GB"),
        ("cpu", 1, "cpu"),
    ],
)
def test_machines_are_found_by_what_people_write(text: str, count: int, name: str) -> None:
    machine = find_machine(text, SPEEDS)
    assert (machine.count, machine.device.name) == (count, name)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0xA100-80GB", ["count of 0", "at least 1"]),
        ("-2xA100-80GB", ["count of -2"]),
        ("1.5xA100-80GB", ["count of 1.5", "whole number"]),
        ("A100", ["several forms", "A100-40GB", "A100-80GB"]),
        ("2xH100-80G", ["several forms", "H100-80GB"]),
        ("2xA10-80GB", ["no GPU A10-80GB", "A100-80GB"]),
        ("4xB2000", ["no GPU B2000", "B200-180GB"]),
        ("two", ["no GPU two"]),
        ("", ["cannot be read", "2xA100-80GB"]),
    ],
)
def test_hardware_that_there_is_not_is_refused_with_the_nearest(text: str, parts: list[str]) -> None:
    with pytest.raises(PlanError) as refused:
        find_machine(text, SPEEDS)
    assert all(part in str(refused.value) for part in ["--gpus", *parts])


def test_every_gpu_has_figures_of_its_kind_and_a_source() -> None:
    for device in catalogue().values():
        assert 10 < device.memory / 2**30 < 300 and 1e13 < device.flops < 1e16, device.name
        assert 1e11 < device.bandwidth < 1e13 and device.link < device.bandwidth and device.source, device.name
        assert device.comfortable < device.usable < device.memory
        assert device.name.split("-")[1].endswith("GB")


@pytest.mark.parametrize(
    ("name", "gib", "found"),
    [
        ("NVIDIA A100-SXM4-80GB", 80, "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", 40, "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", 80, "A100-80GB-PCIe"),
        ("NVIDIA H200", 140, "H200-141GB"),
        ("NVIDIA GeForce RTX 4090", 24, "RTX4090-24GB"),
        ("Tesla T4", 15, "T4-16GB"),
        ("Voodoo 2", 0, None),
    ],
)
def test_a_gpu_is_known_by_the_name_that_its_driver_gives(name: str, gib: int, found: str | None) -> None:
    device = device_of(name, gib * 2**30)
    assert (device.name if device else None) == found


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B"),
        ("gemma-2-9b-it", "google/gemma-2-9b"),
        ("gpt2", "openai-community/gpt2"),
        ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.1"),
        ("Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "TinyLlama/TinyLlama-1.1B"),
    ],
)
def test_models_are_found_by_what_people_write(written: str, name: str) -> None:
    assert find_model(written)[0] == name


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match=r"--model Lama-3\.1-8B: .* Did you mean Llama-3\.1-8B"):
        find_model("Lama-3.1-8B")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "found a list"),
        ('{"hidden_size": 64}', "num_hidden_layers"),
        ("", "JSON"),
    ],
)
def test_a_config_without_sizes_is_refused(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(PlanError, match=part):
        find_model(str(tmp_path / "config.json"))
    with pytest.raises(PlanError, match="does not tell the sizes"):
        find_model(str(tmp_path))


def test_a_folder_or_a_config_file_alone_is_enough(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    assert find_model(str(tmp_path))[1] == find_model(str(tmp_path / "config.json"))[1]
    with pytest.raises(PlanError, match="no such file"):
        find_model(str(tmp_path / "other.json"))


def test_a_calibration_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"source": "mine"}')
    with pytest.raises(PlanError, match="--calibrate"):
        load_calibration(tmp_path / "c.json")
