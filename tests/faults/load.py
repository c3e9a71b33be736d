"""Users at work: threads that declare, scale, stop and delete jobs through any of the daemons.

Each job belongs to one thread, which asks again until it is answered, so what every job has to end
as is known. All answers are kept with their times, for the judge.
"""

import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from tests.faults.evidence import Outcome, Request, Wish
from tests.support.rest import RefusedRequest, RestClient
from tests.support.waiting import wait_until

USERS: Final = 3
SERVICES_A_USER: Final = 4
INSTANCES_MAX: Final = 4
AGAIN_S: Final = 0.1
ANSWER_S: Final = 5.0
WORK_REQUESTS: Final = 10
END_S: Final = 60.0
RESOURCES: Final = {"cpus": 0.1, "mem": "32MiB"}
_NOTHING_DONE: Final = frozenset({400, 401, 404, 405, 409, 413, 415, 421})


def is_batch(job: str) -> bool:
    """Else it is a service."""
    return "-batch-" in job


class Load:
    """Runs while its context is open; leaving it waits until every request was answered."""

    def __init__(
        self, apis: Sequence[RestClient], seed: int, pause_s: float, name: str = "u"
    ) -> None:
        """`name` is what its users' and their jobs' names begin with."""
        self._users = [User(apis, f"{name}{number}", seed, pause_s) for number in range(USERS)]

    def __enter__(self) -> Self:
        for user in self._users:
            user.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for user in self._users:
            user.stop.set()
        for user in self._users:
            user.join(END_S)
            assert not user.is_alive() or error is not None, "a request is never answered"

    def give_up(self) -> None:
        """Nobody is there any more to answer."""
        for user in self._users:
            user.given_up.set()
            user.stop.set()

    @property
    def requests(self) -> dict[str, list[Request]]:
        """By job, in the order in which they were sent."""
        return {job: list(asked) for user in self._users for job, asked in user.requests.items()}

    @property
    def wished(self) -> dict[str, Wish]:
        """What each job has to become."""
        return {job: wish for user in self._users for job, wish in user.wished.items()}

    def await_work(self) -> None:
        """Returns when some more requests were answered with success: users can work."""
        enough = self.done + WORK_REQUESTS
        wait_until(lambda: self.done >= enough, "users to be answered", END_S)

    @property
    def done(self) -> int:
        """How many requests were answered with success."""
        asked = [request for requests in self.requests.values() for request in requests]
        return sum(request.outcome is Outcome.DONE for request in asked)


class User(threading.Thread):
    def __init__(self, apis: Sequence[RestClient], name: str, seed: int, pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self.stop = threading.Event()
        self.given_up = threading.Event()
        self.requests: dict[str, list[Request]] = defaultdict(list)
        self.wished: dict[str, Wish] = {}
        self._apis = apis
        self._pause_s = pause_s
        self._random = Random(f"{seed}-{name}")
        self._count = 0

    def run(self) -> None:
        while not self.stop.wait(self._pause_s):
            self._count += 1
            if self._count % 2:
                instances = self._random.randint(1, INSTANCES_MAX)
                self._apply(f"{self.name}-batch-{self._count}", "batch", instances)
            else:
                self._change(f"{self.name}-service-{self._random.randrange(SERVICES_A_USER)}")

    def _change(self, job: str) -> None:
        """One step in the life of a service."""
        instances = self._random.randint(1, INSTANCES_MAX)
        now = self.wished.get(job, Wish("delete"))
        if now.desired == "delete":
            self._apply(job, "service", instances)
            return
        match self._random.choice(["scale", "scale", "scale", "stop", "delete"]):
            case "scale" if now.desired == "run":
                path = f"/v1/jobs/{job}/scale"
                body = {"instances": instances}
                self._ask(job, Wish("run", instances), "POST", path, body)
            case "stop" if now.desired == "run":
                self._ask(job, Wish("stop"), "POST", f"/v1/jobs/{job}/stop", {})
            case "delete":
                self._ask(job, Wish("delete"), "DELETE", f"/v1/jobs/{job}", None)
            case _:
                self._apply(job, "service", instances)

    def _apply(self, job: str, kind: str, instances: int) -> None:
        command = "sleep 0.2" if kind == "batch" else "exec sleep 100000"
        document = {
            "job": job,
            "kind": kind,
            "instances": instances,
            "command": command,
            "resources": RESOURCES,
        }
        if kind == "service":
            document |= {"kill": {"grace": "1s"}, "update": {"min_healthy_time": "100ms"}}
        self._ask(job, Wish("run", instances), "POST", "/v1/jobs", document)

    def _ask(self, job: str, wish: Wish, method: str, path: str, body: Any) -> None:
        """Again and again until it is done: what a script of a user's would do."""
        self.wished[job] = wish
        while not self.given_up.is_set():
            api = self._random.choice(self._apis)
            sent = time.monotonic()
            outcome = _outcome(api, wish, method, path, body)
            request = Request(job, wish, sent, time.monotonic(), outcome)
            self.requests[job].append(request)
            if outcome is Outcome.DONE:
                return
            time.sleep(AGAIN_S)


def _outcome(api: RestClient, wish: Wish, method: str, path: str, body: Any) -> Outcome:
    try:
        api.ask(method, path, body, deadline_s=ANSWER_S)
    except ConnectionRefusedError:
        return Outcome.REFUSED
    except RefusedRequest as refused:
        if refused.status == 404 and wish.desired == "delete":
            return Outcome.DONE  # an earlier one of ours did it, and it is all gone
        nothing = refused.status in _NOTHING_DONE or "nothing was changed" in str(refused)
        return Outcome.REFUSED if nothing else Outcome.UNKNOWN
    except (OSError, http.client.HTTPException):
        return Outcome.UNKNOWN
    return Outcome.DONE
