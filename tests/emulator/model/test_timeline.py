from scheduler.emulator.model.timeline import Timeline


def test_actions_run_in_the_order_of_their_times_then_of_being_asked_for() -> None:
    timeline = Timeline()
    done: list[str] = []
    timeline.after(2.0, lambda: done.append("late"))
    timeline.after(1.0, lambda: done.append("first"))
    timeline.after(1.0, lambda: done.append("second"))
    timeline.run(1.5)
    assert done == ["first", "second"]
    assert timeline.next_due() == 2.0
    timeline.run(2.0)
    assert (done[-1], timeline.now, timeline.next_due()) == ("late", 2.0, None)


def test_what_is_asked_for_soon_goes_before_the_next_timer() -> None:
    timeline = Timeline()
    done: list[str] = []
    timeline.after(1.0, lambda: timeline.soon(lambda: done.append("soon")))
    timeline.after(1.0, lambda: done.append("timer"))
    timeline.run(1.0)
    assert done == ["soon", "timer"]


def test_a_cancelled_timer_does_nothing() -> None:
    timeline = Timeline()
    done: list[str] = []
    timeline.after(1.0, lambda: done.append("no")).cancel()
    assert timeline.next_due() is None
    timeline.run(2.0)
    assert done == []


def test_running_inside_a_run_changes_nothing() -> None:
    timeline = Timeline()
    done: list[str] = []

    def inside() -> None:
        timeline.soon(lambda: done.append("soon"))
        timeline.run(9.0)
        done.append("inside")

    timeline.after(1.0, inside)
    timeline.run(1.0)
    assert (done, timeline.now) == (["inside", "soon"], 1.0)
