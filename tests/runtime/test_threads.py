"""Slices in threads: results as those of a plain loop."""

import threading
import time

import pytest

from clamnet_tf import threads


def test_results_keep_the_order_of_the_items():
    def late(number):
        time.sleep(0.02 * (3 - number))
        return number * number

    assert threads.in_threads(late, range(4)) == [0, 1, 4, 9]
    assert threads.in_threads(divmod, [7, 9], [2, 4]) == [(3, 1), (2, 1)]
    assert threads.in_threads(late, []) == []


def test_calls_run_at_the_same_time_where_there_are_processors(monkeypatch):
    monkeypatch.setattr(threads, "_processors", lambda: 2)
    both = threading.Barrier(2, timeout=30)
    assert sorted(threads.in_threads(lambda _: both.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("processors", [1, 2])
def test_the_first_error_in_the_order_of_the_items_is_raised(monkeypatch, processors):
    monkeypatch.setattr(threads, "_processors", lambda: processors)

    def fail(number):
        if number:
            raise ValueError(str(number))

    with pytest.raises(ValueError, match="^1$"):
        threads.in_threads(fail, range(5))


def test_large_results_are_computed_little_ahead(monkeypatch):
    started = []

    def note(number):
        started.append(number)
        return number

    results = threads.in_order(note, iter(range(100)), threads=2)
    assert next(results) == 0
    assert len(started) <= 4
    assert list(results) == list(range(1, 100))
    assert list(threads.in_order(divmod, [7, 9], [2, 4], threads=1)) == [(3, 1), (2, 1)]


def test_an_error_ends_results_in_their_order():
    results = threads.in_order(lambda number: 6 // (3 - number), range(9), threads=3)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_item_comes_when_the_next_one_has_been_taken():
    taken = []

    def items():
        for number in range(3):
            taken.append(number)
            yield number

    assert [(number, len(taken)) for number in threads.one_ahead(items())] == [(0, 2), (1, 3), (2, 3)]
    assert list(threads.one_ahead([])) == []
    assert list(threads.one_ahead(["a"])) == ["a"]
