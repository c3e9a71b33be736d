"""What the settings make of the engine."""

from pathlib import Path

from scheduler.cli.daemon import policy_of
from scheduler.core.model.ids import Role
from scheduler.core.policy import AvoidPolicy, Policy
from scheduler.settings import load_settings


def test_the_defaults_of_the_settings_are_those_of_the_engine(tmp_path: Path) -> None:
    settings = load_settings(None, {"OFFERD_STORE": f"sqlite:{tmp_path / 'offerd.db'}"})
    assert policy_of(settings) == Policy(roles=(Role("*"),))


def test_every_number_of_avoiding_agents_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "offerd.yaml"
    file.write_text(
        "avoid: {failures: 5, window: 1m, time: 2m, time_max: 3m, forget_after: 4m,"
        " share_max_percent: 50}\n"
        "offers: {refuse_jitter_percent: 0}\n"
    )

    policy = policy_of(load_settings(file, {}))

    assert policy.avoid == AvoidPolicy(5, 60.0, 120.0, 180.0, 240.0, 0.5)
    assert policy.offers.refuse_jitter == 0.0
