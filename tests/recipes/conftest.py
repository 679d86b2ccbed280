import pytest

from superscope.core.runtime import threads


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    with threads(1):  # the matrices are small, and other tests run beside these
        yield
