"""Serve the health of `clamnet-tf listen` and its metrics in the text format of Prometheus, over HTTP."""

import http.server
import json
import threading

from clamnet_tf.errors import EnvironmentFailure


class ServiceMetrics:
    """Count what the service does.

    Attributes:
        images, refused: Counters of images that were received, and that could not be kept.
        marked, failed, sent: Counters of studies that were marked, could not be marked, were sent.
        seconds: Histogram of the seconds that marking a study takes.
        problem: What is wrong now, for /health; "" when all is well.
    """

    def __init__(self, waiting=lambda: 0):
        """Make the metrics.

        Args:
            waiting: Function that returns the number of studies that have arrived and are not marked.
        """
        try:
            import prometheus_client
        except ImportError:
            raise EnvironmentFailure(
                "Metrics need the package prometheus-client, which is not installed. Run: pip install "
                "'clamnet-tf[pacs]'"
            ) from None
        self._registry = registry = prometheus_client.CollectorRegistry()
        self._text, self._type = prometheus_client.generate_latest, prometheus_client.CONTENT_TYPE_LATEST
        counter = prometheus_client.Counter
        self.images = counter("clamnet_tf_images_received", "Images received by C-STORE", registry=registry)
        self.refused = counter("clamnet_tf_images_refused", "Images that were refused", registry=registry)
        self.marked = counter("clamnet_tf_studies_marked", "Studies marked", registry=registry)
        self.failed = counter("clamnet_tf_studies_failed", "Studies that failed", registry=registry)
        self.sent = counter("clamnet_tf_studies_sent", "Studies whose results were sent", registry=registry)
        self.seconds = prometheus_client.Histogram(
            "clamnet_tf_marking_seconds",
            "Seconds to mark a study",
            registry=registry,
            buckets=(1, 3, 10, 30, 100, 300, 1000),
        )
        gauge = prometheus_client.Gauge("clamnet_tf_studies_waiting", "Studies not marked", registry=registry)
        gauge.set_function(waiting)
        self.waiting, self.problem = waiting, ""
        self._server: http.server.ThreadingHTTPServer | None = None

    def start(self, host: str, port: int) -> None:
        """Answer GET /health (200, or 503 with the problem) and GET /metrics from a thread.

        Raises:
            EnvironmentFailure: The port cannot be used.
        """
        metrics = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/metrics":
                    self._answer(200, metrics._type, metrics._text(metrics._registry))
                elif self.path == "/health":
                    state = {"status": metrics.problem or "ok", "studies_waiting": metrics.waiting()}
                    content = json.dumps(state).encode()
                    self._answer(503 if metrics.problem else 200, "application/json", content)
                else:
                    self._answer(404, "text/plain", b"expected /health or /metrics\n")

            def _answer(self, status, kind, content):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                """Print nothing: these requests come every few seconds."""

        try:
            self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise EnvironmentFailure(
                f"port {port} of {host}: cannot serve health and metrics there ({error.strerror or error}). "
                f"Choose another --health-port."
            ) from error
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop to answer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
