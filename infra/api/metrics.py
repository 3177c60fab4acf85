"""Prometheus metrics of one process. Labels are templates of routes, never paths or names of users."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The instruments of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "fiel_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "fiel_http_seconds",
            "Seconds until an answer began.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.open = Gauge("fiel_http_open", "Requests and streams that are open.", registry=self.registry)
        self.refused = Counter("fiel_refused", "Requests refused, by code.", ("code",), registry=self.registry)
        self.crashes = Counter("fiel_crashes", "Requests that ended in an unforeseen error.", registry=self.registry)
        self.runs = Gauge("fiel_runs_here", "Runs that this process works on.", registry=self.registry)
        self.policies_stale = Gauge(
            "fiel_policies_stale",
            "1 where the folder of policies holds a set that does not load, so that an older one decides.",
            registry=self.registry,
        )
        self.policies_reloads = Gauge(
            "fiel_policies_reloads", "Sets of policies swapped in since the start.", registry=self.registry
        )
        self.unsealed = Gauge(
            "fiel_ledger_unsealed_seconds",
            "Seconds for which the oldest entry waits to be sealed into its chain.",
            registry=self.registry,
        )
        self.search_widened = Gauge(
            "fiel_search_widened",
            "Searches since the start for which the vector index gave too few passages, so that all were compared.",
            registry=self.registry,
        )
        self.search_short = Gauge(
            "fiel_search_short",
            "Searches since the start that gave fewer passages than asked for and than their caller may read.",
            registry=self.registry,
        )
        self.ready = Gauge("fiel_ready", "1 where runs can begin at once.", registry=self.registry)
