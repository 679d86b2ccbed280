"""Progress bars hand the items on, and stay silent where no person is looking."""

import pytest

from superscope.core import progress


def test_the_items_come_through_and_nothing_is_shown_off_a_terminal(capsys: pytest.CaptureFixture) -> None:
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    with progress((), "by hand", total=5, unit="sample") as bar:
        bar.update(5)
    assert capsys.readouterr() == ("", "")
