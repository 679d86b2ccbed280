import threading

import pytest

from superscope.data.reading import read_ahead


def running():
    return [each for each in threading.enumerate() if each.name.startswith("superscope-data")]


def test_items_come_in_order_from_one_other_thread():
    threads = set()

    def items():
        for number in range(20):
            threads.add(threading.current_thread())
            yield number

    assert list(read_ahead(items())) == list(range(20))
    assert len(threads) == 1
    assert threading.main_thread() not in threads
    assert not running()


def test_nothing_at_all():
    assert list(read_ahead(iter(()))) == []


def test_two_items_are_read_ahead_and_no_more():
    read = []
    two = threading.Event()

    def items():
        for number in range(20):
            read.append(number)
            if len(read) == 3:
                two.set()
            yield number

    found = read_ahead(items())
    assert next(found) == 0
    assert two.wait(10)
    found.close()
    assert len(read) <= 4
    assert not running()


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_what_fails_is_raised_in_its_turn_and_the_thread_ends(error):
    def items():
        yield 1
        raise error

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(type(error)):
        next(found)
    assert not running()


def test_an_interrupt_in_the_loop_ends_the_thread():
    found = read_ahead(iter(range(100)))
    assert next(found) == 0
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt())
    assert not running()
