"""Every store that a test opened is closed after it."""

from collections.abc import Iterator

import pytest

from .stores import OPEN


@pytest.fixture(autouse=True)
def close_stores() -> Iterator[None]:
    """Close what `write_store` opened."""
    yield
    while OPEN:
        OPEN.pop().close()
