"""The registry that a process keeps its metrics in."""

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from runtime.memory_limit import memory_limit


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics that every Python process has."""
    # The time at which each series began would double their number.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it lacks annotations
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    limit = Gauge(
        "telemetry_memory_limit_bytes",
        "memory that the control group allows; 0: there is no limit",
        registry=registry,
    )
    limit.set(memory_limit() or 0)
    return registry
