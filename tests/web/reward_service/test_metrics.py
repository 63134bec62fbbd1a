"""The text that Prometheus reads."""

import re

from boresight.web.reward_service.metrics import Metrics


def test_counts_are_told_in_the_text_format_and_buckets_add_up() -> None:
    metrics = Metrics(held=3, model_hash="ab")
    metrics.batch(10, 1_234_567, 0.125)
    for status, seconds in ((200, 0.005), (200, 0.3), (200, 99.0), (429, 0.001)):
        metrics.request(status, seconds)
    lines = metrics.text().splitlines()
    sample = re.compile(r'boresight_reward_[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.]+')
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    for line in (
        'boresight_reward_requests_total{status="200"} 3',
        'boresight_reward_requests_total{status="429"} 1',
        "boresight_reward_tokens_total 1234567",
        "boresight_reward_computing_seconds_total 0.125",
        "boresight_reward_held_responses 3",
        'boresight_reward_model{hash="ab"} 1',
        'boresight_reward_request_seconds_bucket{le="0.005"} 1',
        'boresight_reward_request_seconds_bucket{le="0.25"} 1',
        'boresight_reward_request_seconds_bucket{le="0.5"} 2',
        'boresight_reward_request_seconds_bucket{le="30.0"} 2',
        'boresight_reward_request_seconds_bucket{le="+Inf"} 3',
        "boresight_reward_request_seconds_count 3",
        "boresight_reward_request_seconds_sum 99.305",
    ):
        assert line in lines
