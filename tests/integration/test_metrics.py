"""Metrics as a scrape sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from warmer import Warmer
from warmer.metrics import register


def test_a_scrape_shows_what_the_process_did_and_what_redis_holds(redis_url: str, namespace: str) -> None:
    """A load, a commit and an invalidation are counted; the entry shows as one entry of its query."""
    shop = Warmer(namespace, redis_url=redis_url)

    @shop.cached(ttl=60, name="sales", version="1")
    def sales(month: int) -> int:
        return month

    sales(1)
    sales(2)
    sales.invalidate(2)
    registry = CollectorRegistry()
    register(shop, registry, with_status=True)
    text = generate_latest(registry).decode()
    shop.close()
    assert f'warmer_events_total{{event="loads",namespace="{namespace}"}} 2.0' in text
    assert f'warmer_events_total{{event="commits_stored",namespace="{namespace}"}} 2.0' in text
    assert f'warmer_events_total{{event="invalidations",namespace="{namespace}"}} 1.0' in text
    assert f'warmer_entries{{namespace="{namespace}",query="sales"}} 1.0' in text
    assert f'warmer_redis_up{{namespace="{namespace}"}} 1.0' in text


def test_a_scrape_with_redis_away_says_so_and_does_not_fail(namespace: str) -> None:
    """Monitoring must work when the cache does not."""
    shop = Warmer(namespace, redis_url="redis://127.0.0.1:1/0")
    registry = CollectorRegistry()
    register(shop, registry, with_status=True)
    text = generate_latest(registry).decode()
    shop.close()
    assert f'warmer_redis_up{{namespace="{namespace}"}} 0.0' in text
