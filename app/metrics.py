"""What Prometheus may know; `app/ops/exposition.py` shows it."""

from prometheus_client import Counter, Gauge, Histogram

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
QUICK = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1)

REQUEST_SECONDS = Histogram(
    "event_platform_request_seconds",
    "Time to answer, by route template.",
    ("method", "route", "status"),
    buckets=LATENCIES,
)
AUTHENTICATION_SECONDS = Histogram(
    "event_platform_authentication_seconds", "Time to tell who is calling.", buckets=QUICK
)
POOL_CONNECTIONS = Gauge(
    "event_platform_pool_connections",
    "Connections to the database.",
    ("state",),
    multiprocess_mode="livesum",
)
BLACKLIST_ENTRIES = Gauge(
    "event_platform_blacklist_entries",
    "Revoked access tokens.",
    ("state",),
    multiprocess_mode="mostrecent",
)
SESSIONS = Gauge("event_platform_sessions", "Sessions.", ("state",), multiprocess_mode="mostrecent")
TABLE_BYTES = Gauge(
    "event_platform_table_bytes",
    "Size with indexes.",
    ("table",),
    multiprocess_mode="mostrecent",
)
JOB_RUNS = Counter("event_platform_job_runs", "Runs of jobs.", ("job", "outcome"))
JOB_ROWS = Counter("event_platform_job_rows", "Rows that jobs deleted.", ("job",))
JOB_SECONDS = Histogram(
    "event_platform_job_seconds", "Time that jobs took.", ("job",), buckets=(0.1, 1, 10, 60, 600)
)
AWARDS = Counter("event_platform_awards", "Prizes awarded, one by one or in draws.")
DRAW_STEPS = Counter("event_platform_draw_steps", "Steps of draws.", ("step", "outcome"))
DRAW_SECONDS = Histogram(
    "event_platform_draw_seconds",
    "Time that steps of draws took.",
    ("step",),
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 20),
)
EVENTS = Counter("event_platform_events", "Events written to the log.")
STREAMS = Gauge(
    "event_platform_streams", "Clients that follow events.", multiprocess_mode="livesum"
)
MAILS = Counter("event_platform_mails", "What became of attempts to send mails.", ("outcome",))
WEBHOOK_DELIVERIES = Counter(
    "event_platform_webhook_deliveries", "What became of attempts to tell apps.", ("outcome",)
)
WEBHOOKS_DISABLED = Counter(
    "event_platform_webhooks_disabled", "Endpoints to which nothing is sent any more.", ("reason",)
)
