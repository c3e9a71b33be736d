"""Events and calls as the master speaks them in JSON, one of each kind that matters to us.

Data for tests only; names are those of the wire.
"""

import base64

Json = bool | int | float | str | list["Json"] | dict[str, "Json"]

FRAMEWORK: Json = {"value": "m-0001"}
AGENT: Json = {"value": "m-S3"}
OFFER: Json = {"value": "m-O12"}
TASK: Json = {"value": "shop.0.1"}
STATUS_UUID = base64.b64encode(bytes(range(16))).decode()
RESERVED: Json = [{"type": "DYNAMIC", "role": "shop", "principal": "offerd"}]


def _scalar(name: str, amount: float, **more: Json) -> dict[str, Json]:
    return {"name": name, "type": "SCALAR", "scalar": {"value": amount}, **more}


def _ports(begin: int, end: int) -> dict[str, Json]:
    return {
        "name": "ports",
        "type": "RANGES",
        "ranges": {"range": [{"begin": begin, "end": end}]},
    }


EVENTS: list[dict[str, Json]] = [
    {
        "type": "SUBSCRIBED",
        "subscribed": {
            "framework_id": FRAMEWORK,
            "heartbeat_interval_seconds": 15.0,
            "master_info": {
                "id": "m",
                "ip": 16777343,
                "port": 5050,
                "pid": "master@127.0.0.1:5050",
                "hostname": "m1",
                "version": "1.11.0",
                "address": {"hostname": "m1", "ip": "127.0.0.1", "port": 5050},
                # The third is how the master writes the capability that v1 has no name for.
                "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {}],
            },
        },
    },
    {"type": "HEARTBEAT"},
    {
        "type": "OFFERS",
        "offers": {
            "offers": [
                {
                    "id": OFFER,
                    "framework_id": FRAMEWORK,
                    "agent_id": AGENT,
                    "hostname": "a3",
                    "url": {
                        "scheme": "http",
                        "address": {"hostname": "a3", "ip": "127.0.0.3", "port": 5051},
                        "path": "/slave(1)",
                    },
                    "allocation_info": {"role": "shop"},
                    "attributes": [{"name": "zone", "type": "TEXT", "text": {"value": "z1"}}],
                    "executor_ids": [],
                    "resources": [
                        _scalar("cpus", 4.0, allocation_info={"role": "shop"}),
                        _scalar(
                            "disk",
                            500.0,
                            reservations=RESERVED,
                            disk={
                                "persistence": {"id": "v1", "principal": "offerd"},
                                "volume": {"mode": "RW", "container_path": "data"},
                            },
                        ),
                        _ports(31000, 32000),
                    ],
                }
            ]
        },
    },
    {"type": "RESCIND", "rescind": {"offer_id": OFFER}},
    {
        "type": "UPDATE",
        "update": {
            "status": {
                "task_id": TASK,
                "state": "TASK_RUNNING",
                "source": "SOURCE_EXECUTOR",
                "agent_id": AGENT,
                "executor_id": TASK,
                "timestamp": 1700000000.25,
                "uuid": STATUS_UUID,
                "container_status": {
                    "container_id": {"value": "c-1"},
                    "network_infos": [
                        {"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.3"}]}
                    ],
                },
            }
        },
    },
    {
        "type": "UPDATE",
        "update": {
            "status": {
                "task_id": TASK,
                "state": "TASK_UNREACHABLE",
                "source": "SOURCE_MASTER",
                "reason": "REASON_AGENT_REMOVED",
                "unreachable_time": {"nanoseconds": 1700000100000000000},
            }
        },
    },
    {
        "type": "UPDATE_OPERATION_STATUS",
        "update_operation_status": {
            "status": {
                "operation_id": {"value": "reserve-1"},
                "state": "OPERATION_FINISHED",
                "uuid": {"value": STATUS_UUID},
                "agent_id": AGENT,
            }
        },
    },
    {"type": "FAILURE", "failure": {"agent_id": AGENT}},
    {
        "type": "MESSAGE",
        "message": {"agent_id": AGENT, "executor_id": {"value": "e"}, "data": "aGVsbG8="},
    },
    {"type": "ERROR", "error": {"message": "Framework failed over"}},
]

CALLS: list[dict[str, Json]] = [
    {
        "type": "ACCEPT",
        "accept": {
            "offer_ids": [OFFER],
            "filters": {"refuse_seconds": 1.0},
            "operations": [
                {
                    "type": "RESERVE",
                    "id": {"value": "reserve-1"},
                    "reserve": {"resources": [_scalar("cpus", 1, reservations=RESERVED)]},
                },
                {
                    "type": "LAUNCH",
                    "launch": {
                        "task_infos": [
                            {
                                "name": "shop",
                                "task_id": TASK,
                                "agent_id": AGENT,
                                "resources": [
                                    _scalar("cpus", 1, reservations=RESERVED),
                                    _scalar("mem", 128),
                                    _ports(31000, 31000),
                                ],
                                "command": {
                                    "shell": True,
                                    "value": "exec ./serve",
                                    "environment": {
                                        "variables": [
                                            {"name": "PORT0", "type": "VALUE", "value": "31000"}
                                        ]
                                    },
                                },
                                "kill_policy": {"grace_period": {"nanoseconds": 30000000000}},
                                "health_check": {
                                    "type": "HTTP",
                                    "http": {"port": 31000, "path": "/ready", "scheme": "http"},
                                    "grace_period_seconds": 60,
                                },
                            }
                        ]
                    },
                },
            ],
        },
    },
    {
        "type": "ACCEPT",
        "accept": {
            "offer_ids": [OFFER],
            "operations": [
                {
                    "type": "LAUNCH_GROUP",
                    "launch_group": {
                        "executor": {
                            "type": "DEFAULT",
                            "executor_id": {"value": "pod.0"},
                            "framework_id": FRAMEWORK,
                            "resources": [_scalar("cpus", 0.25), _scalar("mem", 48)],
                        },
                        "task_group": {
                            "tasks": [
                                {
                                    "name": "side",
                                    "task_id": {"value": "pod.0.side"},
                                    "agent_id": AGENT,
                                    "resources": [_scalar("cpus", 0.5), _scalar("mem", 96)],
                                    "command": {"value": "exec ./side"},
                                }
                            ]
                        },
                    },
                }
            ],
        },
    },
    {"type": "DECLINE", "decline": {"offer_ids": [OFFER], "filters": {"refuse_seconds": 3600.0}}},
    {"type": "SUPPRESS", "suppress": {"roles": ["shop"]}},
    {"type": "REVIVE"},
    {
        "type": "ACKNOWLEDGE",
        "acknowledge": {"agent_id": AGENT, "task_id": TASK, "uuid": STATUS_UUID},
    },
    {
        "type": "ACKNOWLEDGE_OPERATION_STATUS",
        "acknowledge_operation_status": {
            "agent_id": AGENT,
            "operation_id": {"value": "reserve-1"},
            "uuid": STATUS_UUID,
        },
    },
    {"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": TASK, "agent_id": AGENT}]}},
    {"type": "RECONCILE", "reconcile": {"tasks": []}},
    {
        "type": "KILL",
        "kill": {
            "task_id": TASK,
            "agent_id": AGENT,
            "kill_policy": {"grace_period": {"nanoseconds": 5000000000}},
        },
    },
    {
        "type": "UPDATE_FRAMEWORK",
        "update_framework": {
            "framework_info": {
                "id": FRAMEWORK,
                "user": "root",
                "name": "offerd",
                "roles": ["shop"],
                "capabilities": [{"type": "MULTI_ROLE"}],
                "offer_filters": {
                    "shop": {
                        "min_allocatable_resources": {
                            "quantities": [{"quantities": {"cpus": {"value": 1}}}]
                        }
                    }
                },
            },
            "suppressed_roles": [],
            "offer_constraints": {
                "role_constraints": {
                    "shop": {
                        "groups": [
                            {
                                "attribute_constraints": [
                                    {
                                        "selector": {"attribute_name": "rack"},
                                        "predicate": {"text_matches": {"regex": "r[12]"}},
                                    },
                                    {
                                        "selector": {"pseudoattribute_type": "ZONE"},
                                        "predicate": {"not_exists": {}},
                                    },
                                ]
                            }
                        ]
                    }
                }
            },
        },
    },
    {"type": "TEARDOWN"},
]
