"""The door: everything it holds, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from engines.models.networks import Networks
from server.door import rtp
from server.door.access import Access
from server.door.delay import Delay
from server.door.events import Events
from server.door.hub import Hub
from server.door.inputs import Inputs
from server.door.network import Network
from server.door.sessions import Sessions
from server.door.streams import Watcher
from server.door.supervisor import STUDIO_COMMAND, Supervisor
from server.metrics import Metrics
from server.settings import Settings

logger = logging.getLogger(__name__)

TICK_S: Final = 0.1
RELEASE_S: Final = 0.005
"""So often what a delay has held is looked at."""


class Door:
    """Nothing runs before `start`.

    Raises:
        SettingsError: settings that cannot be served with.
        rtp.Changed: an aiortc that is not the one we know.
    """

    def __init__(
        self, settings: Settings, studio_command: Sequence[str] = STUDIO_COMMAND, networks: Networks | None = None
    ) -> None:
        rtp.prepare()
        self.settings = settings
        self.access = Access.from_settings(settings)
        self.network = Network(settings.udp_port_range, settings.advertise)
        self.metrics = Metrics()
        self.sessions = Sessions(settings.max_streams, settings.max_viewers)
        self.events = Events(lambda names: self.hub.describe(names=names))
        networks = networks or Networks()
        self.supervisor = Supervisor(
            {
                "look_ahead": settings.look_ahead,
                "runtime": settings.runtime,
                "fancam_delay": settings.fancam_delay,
                "networks": networks.as_json(),
                "members": networks.members,
            },
            self.metrics,
            on_ready=lambda: self.hub.studio_ready(),
            on_lost=lambda: self.hub.studio_lost(),
            on_message=lambda message: self.hub.on_message(message),
            command=[*studio_command, "--log-json"] if settings.log_json else studio_command,
        )
        self.hub = Hub(
            self.supervisor,
            self.metrics,
            max_feeds=settings.max_feeds,
            keep_audio=settings.keep_audio,
            policies=settings.policies,
            policy=settings.policy,
            members=networks.members,
            finds=networks.classes,
            budget_ms=settings.budget_ms,
            changed=self.events.changed,
            evict=self._evict,
        )
        self.delay = Delay(self.hub, self.metrics, settings.delay)
        self.inputs = Inputs(settings, self.hub, self.delay, self.sessions, self.metrics, self.events.changed)
        self.on_failed: Callable[[], None] = lambda: None
        """Called when a part of the door has failed: without its pings, ticks or releases it must not go on."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running event loop."""
        work = [self.supervisor.run(), self.events.run(), self._tick()]
        if self.settings.delay:
            work.append(self._release())
        for part in work:
            task = asyncio.ensure_future(part)
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        self.inputs.start()

    async def close(self) -> None:
        """End all sessions, then the studios, in about 2 s at most."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self.inputs.close(), self.sessions.close(), self.supervisor.close())

    def refresh_metrics(self) -> None:
        """Set the gauges that are not kept up to date as things happen."""
        metrics = self.metrics
        for kind in ("publisher", "viewer"):
            metrics.sessions.labels(kind).set(self.sessions.count(kind))
        metrics.listeners.set(len(self.events))
        metrics.link_backlog.set(self.supervisor.backlog_bytes)
        metrics.streams.clear()
        metrics.feeds.clear()
        for state, count in self.hub.count_streams().items():
            metrics.streams.labels(state).set(count)
        for (feed, codec), count in self.hub.feeds.count().items():
            metrics.feeds.labels(feed, codec).set(count)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.hub.tick()
            self.sessions.end_unconnected()

    async def _release(self) -> None:
        while True:
            await asyncio.sleep(RELEASE_S)
            self.delay.release()

    def _evict(self, watcher: Watcher, reason: str) -> None:
        name, feed = watcher.stream.name, watcher.feed.name
        logger.info("%s: a viewer of %s is sent away: %s", name, feed, reason, extra={"stream": name, "feed": feed})
        if watcher.peer is not None:
            self.sessions.run(watcher.peer.close())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.critical("a part of the door has failed", exc_info=task.exception())
            self.on_failed()
