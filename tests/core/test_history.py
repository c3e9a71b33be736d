"""What a job was told before: changes of reasons, the latest few."""

from scheduler.core.history import ENTRIES_MAX, History
from scheduler.core.model.ids import JobId
from scheduler.core.placement.reasons import Cause, Reason, Shortfall

WEB = JobId("web")


def lacking(reason: Reason, short: int = 1) -> Shortfall:
    return Shortfall(1, 3, (Cause(reason, 3, 3, short),))


def test_only_other_reasons_are_news() -> None:
    history = History()
    history.fell_short(WEB, 1.0, lacking(Reason.CPUS))
    history.fell_short(WEB, 2.0, lacking(Reason.CPUS, 500))
    history.fell_short(WEB, 3.0, lacking(Reason.MEM))
    history.fell_short(WEB, 4.0, lacking(Reason.CPUS))
    assert [(told.at, told.reasons) for told in history.of(WEB)] == [
        (4.0, (Reason.CPUS,)),
        (3.0, (Reason.MEM,)),
        (1.0, (Reason.CPUS,)),
    ]


def test_being_placed_is_told_to_those_who_waited() -> None:
    history = History()
    history.placed(WEB, 1.0)
    assert history.of(WEB) == ()
    history.backs_off(WEB, 2.0, "back-off after failed")
    history.placed(WEB, 3.0)
    history.placed(WEB, 4.0)
    assert [(told.at, told.text) for told in history.of(WEB)] == [
        (3.0, "all placed"),
        (2.0, "back-off after failed"),
    ]


def test_the_latest_few_are_kept() -> None:
    history = History()
    for at in range(3 * ENTRIES_MAX):
        history.fell_short(WEB, float(at), lacking((Reason.CPUS, Reason.MEM)[at % 2]))
    assert len(history.of(WEB)) == ENTRIES_MAX
    assert history.of(WEB)[0].at == 3 * ENTRIES_MAX - 1
    history.forget(WEB)
    assert history.of(WEB) == ()
