"""Puts the REST interface together: routes over a `Front`, inside the middlewares.

It opens no socket (`server` does) and reads no settings.
"""

from typing import Final

from aiohttp import web

from scheduler.api.agent_files import AgentFiles
from scheduler.api.cluster_routes import ClusterRoutes
from scheduler.api.job_routes import JobRoutes
from scheduler.api.leader_check import LeaderCheck
from scheduler.api.leader_client import LeaderClient
from scheduler.api.middlewares import (
    access,
    add_safe_headers,
    bounded_in_flight,
    errors_are_problems,
    only_who_waits,
)
from scheduler.api.passing_on import passing_on, says_age
from scheduler.api.requests import BODY_BYTES_MAX, LIMITS, Limits
from scheduler.api.task_routes import TaskRoutes
from scheduler.api.waiting_routes import WaitingRoutes
from scheduler.jobspec import JobDefaults
from scheduler.runtime.protocols import Front

USUAL_LIMITS: Final = Limits()


def make_app(
    front: Front,
    *,
    defaults: JobDefaults,
    token: str | None,
    peer_token: str | None = None,
    agent_files: AgentFiles,
    leader_client: LeaderClient,
    leader_check: LeaderCheck,
    limits: Limits = USUAL_LIMITS,
) -> web.Application:
    """`token`: what every request but the health checks must bring; None: no token is asked.
    `peer_token`: what other instances bring instead of it."""
    app = web.Application(
        client_max_size=BODY_BYTES_MAX,
        middlewares=[
            errors_are_problems,
            access(token, peer_token),
            bounded_in_flight(limits.in_flight_max),
            only_who_waits,
            passing_on(front, leader_client),
        ],
    )
    app[LIMITS] = limits
    app.on_response_prepare.append(add_safe_headers)
    app.on_response_prepare.append(says_age(front))
    app.add_routes(JobRoutes(front, defaults).routes())
    app.add_routes(TaskRoutes(front, agent_files).routes())
    app.add_routes(ClusterRoutes(front, leader_check).routes())
    app.add_routes(WaitingRoutes(front, defaults).routes())
    return app
