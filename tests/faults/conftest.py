"""Servers for the short form of the scenarios."""

from collections.abc import Iterator

import pytest

from tests.faults.servers import Servers


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that may be killed, because no other test uses them."""
    with Servers(tmp_path_factory.mktemp("faults")) as servers:
        servers.start_both()
        yield servers
