"""Puts the REST interface together: routes over a `Front`, inside the middlewares.

It opens no socket (`server` does) and reads no settings.
"""

from typing import Final

from aiohttp import web

from scheduler.api.agent_files import AgentFiles
from scheduler.api.cluster_routes import ClusterRoutes
from scheduler.api.job_routes import JobRoutes
from scheduler.api.middlewares import (
    access,
    add_safe_headers,
    bounded_in_flight,
    errors_are_problems,
)
from scheduler.api.requests import BODY_BYTES_MAX, LIMITS, Limits
from scheduler.api.task_routes import TaskRoutes
from scheduler.jobspec import JobDefaults
from scheduler.runtime.protocols import Front

USUAL_LIMITS: Final = Limits()


def make_app(
    front: Front,
    *,
    defaults: JobDefaults,
    token: str | None,
    agent_files: AgentFiles,
    limits: Limits = USUAL_LIMITS,
) -> web.Application:
    """`token`: what every request but the health checks must bring; None: no token is asked."""
    app = web.Application(
        client_max_size=BODY_BYTES_MAX,
        middlewares=[errors_are_problems, access(token), bounded_in_flight(limits.in_flight_max)],
    )
    app[LIMITS] = limits
    app.on_response_prepare.append(add_safe_headers)
    app.add_routes(JobRoutes(front, defaults).routes())
    app.add_routes(TaskRoutes(front, agent_files).routes())
    app.add_routes(ClusterRoutes(front).routes())
    return app
