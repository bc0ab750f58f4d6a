"""The catalogue of the API's metrics.

A label never holds a device id, nor what a client sent: clients have the names that the operator
gave them.
"""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.postgres.database import Database
from runtime.metrics import new_registry

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Every metric of the API, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.requests = Counter(
            "telemetry_http_requests",
            "requests that were answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "telemetry_http_request_seconds",
            "seconds from a request's head to the end of its answer",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "telemetry_http_refused",
            "requests and connections that a bound turned away",
            ["bound"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "telemetry_http_connections", "connections of clients", registry=self.registry
        )
        self.certificate_expiry = Gauge(
            "telemetry_http_certificate_expiry_seconds",
            "when the certificate of HTTP_TLS_CERTFILE expires, in seconds since 1970; 0: no TLS",
            registry=self.registry,
        )
        self.clients_requests = Counter(
            "telemetry_http_client_requests",
            "requests that were answered, by client and by the first digit of the status",
            ["client", "status"],
            registry=self.registry,
        )
        self.body_bytes = Gauge(
            "telemetry_http_body_bytes",
            "bytes of the bodies that are being read and answered",
            registry=self.registry,
        )
        self.gateway_readings = Counter(
            "telemetry_gateway_readings",
            "readings by outcome: accepted, rejected, unacknowledged",
            ["outcome"],
            registry=self.registry,
        )
        self.listeners = Gauge(
            "telemetry_live_listeners",
            "listeners of the live stream",
            registry=self.registry,
        )
        self.dropped_listeners = Counter(
            "telemetry_live_listeners_dropped",
            "listeners of the live stream that were too slow",
            registry=self.registry,
        )

    def forget_clients(self, names: Iterable[str]) -> None:
        """Show no figures any longer of clients that are not known any longer."""
        for name in names:
            self.clients_requests.remove_by_labels({"client": name})

    def watch(self, database: Database) -> None:
        """Show the connections of the pools, and the requests in the lanes before them."""
        self.registry.register(_Pools(database))


class _Pools(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        connections = GaugeMetricFamily(
            "telemetry_pool_connections",
            "connections to PostgreSQL, idle and busy",
            labels=["pool", "state"],
        )
        waiting = GaugeMetricFamily(
            "telemetry_pool_waiting",
            "requests for which a connection is being made",
            labels=["pool"],
        )
        for name, pool in self._database.pools.items():
            stats = pool.get_stats()
            idle = stats.get("pool_available", 0)
            connections.add_metric([name, "idle"], idle)
            connections.add_metric([name, "busy"], stats.get("pool_size", 0) - idle)
            waiting.add_metric([name], stats.get("requests_waiting", 0))
        lanes = GaugeMetricFamily(
            "telemetry_lane_requests",
            "requests of a lane that have a connection (busy) or wait for one (waiting)",
            labels=["lane", "state"],
        )
        for lane in self._database.lanes.values():
            lanes.add_metric([lane.name, "busy"], lane.busy)
            lanes.add_metric([lane.name, "waiting"], lane.waiting)
        return [connections, waiting, lanes]
