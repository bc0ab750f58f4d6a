"""The metrics of one process."""

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector


def new_registry() -> CollectorRegistry:
    """Return a registry that has the metrics of every Python process."""
    # Twice the series, for a time that no one asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it lacks annotations
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
