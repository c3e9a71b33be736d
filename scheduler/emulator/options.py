"""Everything that can be chosen about an emulated cluster; values only.

It crosses process borders as JSON (`main`), so plain types only.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Times in seconds, amounts as a job file has them (mem and disk in MB).

    `revocable_cpus` are what each agent has spare besides its `cpus`. `simulate`: tasks are timers
    instead of processes. `racks` and `zones`: agent i has the attributes `rack:r<i mod racks>` and
    `zone:z<i mod zones>`; 0 leaves the attribute out.
    `frameworks` and `operators` are principal → secret; None switches authentication off.
    `work_dir` is where real tasks have their sandboxes; they share one host, so each agent offers a
    part of `ports` of its own. `seed` None: ids differ at each start.
    """

    host: str = "127.0.0.1"
    port: int = 0
    agents: int = 1
    cpus: float = 4.0
    mem_mb: float = 8192.0
    disk_mb: float = 102_400.0
    gpus: int = 0
    revocable_cpus: float = 0.0
    ports: tuple[int, int] = (31_000, 32_000)
    attributes: dict[str, str] = field(default_factory=dict)
    racks: int = 0
    zones: int = 0
    simulate: bool = False
    simulate_start_s: float = 0.0
    simulate_run_s: float | None = None
    simulate_kill_s: float = 0.0
    work_dir: str | None = None
    allocation_interval_s: float = 1.0
    heartbeat_interval_s: float = 15.0
    offer_timeout_s: float | None = None
    agent_ping_timeout_s: float = 15.0
    agent_pings_max: int = 5
    agent_reregister_timeout_s: float = 600.0
    agent_return_s_max: float = 1.0
    update_retry_s: float = 10.0
    frameworks: dict[str, str] | None = None
    operators: dict[str, str] | None = None
    leader: str | None = None
    seed: int | None = None
