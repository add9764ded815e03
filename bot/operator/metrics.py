"""An HTTP server with the figures of the running bot in Prometheus' format (`/metrics`), and its health (`/healthz`).

It needs the package prometheus-client, which is imported only where METRICS_PORT is set.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from itertools import accumulate

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from bot.config import ListenAddress
from bot.core.errors import BotError
from bot.core.figures import AnyFamily, Counter, Figures, Gauge, Histogram
from bot.core.loop_delay import loop_delay_measured
from bot.discord_bot.health import HealthChecks
from bot.operator.health import HealthReport, run_checks

log = logging.getLogger(__name__)

PREFIX = "parley_"
"""What the names of all figures begin with."""
_FOREIGN = "This server answers to the addresses of its own computer only.\n"
_REFUSALS = {
    errno.EADDRINUSE: "another program uses it. Choose another port, or end that program",
    errno.EADDRNOTAVAIL: "this computer does not have that address. Leave it out, or write one that it has",
    errno.EACCES: "this user may not use it. Choose a port above 1023",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FigureCollector(Collector):
    """Hands the figures over to prometheus-client."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """All figures as they are now."""
        return map(_metric, self._figures)


def _metric(family: AnyFamily) -> Metric:
    name = PREFIX + family.name
    if isinstance(family, Gauge):
        return GaugeMetricFamily(name, family.help_text, family.read())
    counters = CounterMetricFamily(name, family.help_text, labels=family.labels)
    histograms = HistogramMetricFamily(name, family.help_text, labels=family.labels)
    series: Mapping[tuple[str, ...], Counter | Histogram] = {**family.series}
    for values, figure in series.items():
        if isinstance(figure, Counter):
            counters.add_metric(values, figure.value)
        else:
            bounds = (*map(str, figure.bounds), "+Inf")
            histograms.add_metric(values, list(zip(bounds, accumulate(figure.counts), strict=True)), figure.sum)
    return histograms if histograms.samples else counters


@asynccontextmanager
async def serve_metrics(address: ListenAddress, figures: Figures, checks: HealthChecks) -> AsyncIterator[None]:
    """Serve the figures and the health until the block ends. Raises BotError where the address cannot be used."""
    registry = CollectorRegistry()
    registry.register(FigureCollector(figures))
    ProcessCollector(registry=registry)
    checking: asyncio.Task[HealthReport] | None = None

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        except (TypeError, ValueError):  # it asks for a version that is no number
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(registry), headers={hdrs.CONTENT_TYPE: content_type})

    async def healthz(_: web.Request) -> web.Response:
        # One check at a time, however many ask: each waits for a write of the database.
        nonlocal checking
        if checking is None or checking.done():
            checking = asyncio.create_task(run_checks(checks))
        report = await asyncio.shield(checking)
        return web.Response(text=f"{report.text}\n", status=200 if report.well else 503)

    app = web.Application(middlewares=[_own_hosts_only] if address.is_loopback else [])
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            reason = _REFUSALS.get(error.errno or 0, f"{error.strerror}. Choose another one")
            raise BotError(f"METRICS_PORT: no server can be at {address}: {reason}.") from None
        log.info("figures are at http://%s/metrics", address)
        async with loop_delay_measured(figures):
            yield
    finally:
        await runner.cleanup()
        if checking is not None:
            checking.cancel()
            await asyncio.wait([checking])


@web.middleware
async def _own_hosts_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse the pages of browsers whose own name leads to this computer (DNS rebinding)."""
    try:
        host = request.url.host or ""
        own = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        own = False
    return await handler(request) if own else web.Response(status=403, text=_FOREIGN)
