import io

from boresight.training.progress import SECONDS_BETWEEN_LINES, ProgressBar


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_log_gets_a_line_now_and_then_and_one_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    with ProgressBar("demo", 100, stream=stream, clock=clock) as bar:
        for step in range(100):
            clock.now += SECONDS_BETWEEN_LINES / 40
            bar.advance(figures={"loss/total": 1.0 / (step + 1), "reward/accuracy": 0.5})
    assert stream.getvalue().splitlines() == [
        "  demo: 40/100  loss 0.025  accuracy 0.5",
        "  demo: 80/100  loss 0.0125  accuracy 0.5",
        "  demo: 100/100  loss 0.01  accuracy 0.5",
    ]


def test_resumed_work_counts_from_where_it_stands() -> None:
    stream = io.StringIO()
    with ProgressBar("demo", 10, done=8, stream=stream, clock=Clock()) as bar:
        bar.advance(2)
    assert stream.getvalue() == "  demo: 10/10\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_person_sees_a_bar_with_figures() -> None:
    stream = Terminal()
    with ProgressBar("demo", 2, stream=stream) as bar:
        bar.advance(figures={"loss/total": 0.25})
        bar.advance()
    assert "demo" in stream.getvalue() and "2/2" in stream.getvalue() and "loss 0.25" in stream.getvalue()


def test_a_notebook_gets_a_bar_drawn_over_the_one_before() -> None:
    """Its stream is no terminal, but takes a carriage return as one does."""
    of_a_notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    stream, clock = of_a_notebook(), Clock()
    with ProgressBar("demo", 4, stream=stream, clock=clock) as bar:
        for _ in range(4):
            clock.now += 1.0
            bar.advance(figures={"loss/total": 0.5})
    lines = stream.getvalue().split("\r")
    assert [line.count("━") for line in lines] == [0, 7, 14, 21, 28]
    assert "2/4  loss 0.5" in lines[2] and stream.getvalue().count("\n") == 1
