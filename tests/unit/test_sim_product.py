"""What the simulator prints about an API that it cannot reach."""

import asyncio

import pytest

from producer_sim.product import Product, ProductError


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:1",
        "http://user:hun@hunter2@127.0.0.1:1",
        "http://user:80/hunter2@127.0.0.1:1",
        "http://user:hunter2",
    ],
)
def test_a_password_in_the_url_is_not_printed(url: str) -> None:
    async def ask() -> None:
        async with Product(url=url, api_key=None, patience_s=0.1) as product:
            await product.get("/vehicles")

    with pytest.raises(ProductError) as failed:
        asyncio.run(ask())
    assert "hunter" not in str(failed.value)
