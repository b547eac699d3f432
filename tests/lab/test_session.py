"""A session runs a study in the background, and its last cell waits, shows the progress and fills the cells above."""

import threading

import pytest

from cnnlab import lab
from cnnlab.errors import ConfigError
from cnnlab.lab import session as sessions
from cnnlab.lab.session import Session, Stopped
from cnnlab.tuning import Tuning
from conftest import fake_runs


@pytest.fixture
def session(folder, tmp_path, monkeypatch):
    """A session whose runs are made up; `gate` holds them back while it is not set."""
    tuning = Tuning(folder, tmp_path, "smoke", budget={"seeds": 2, "stages": "base,dense"})
    fake_runs(tuning, lambda trial: trial.architecture.dense_units / 1000)
    gate, interrupted, run_all = threading.Event(), threading.Event(), tuning.engine.run_all
    gate.set()

    def held(work, store, *callbacks):
        interrupted.clear()  # an engine without runs forgets an interrupt
        while any(store.get(run.digest) is None for run, *_ in work) and not gate.wait(0.05):
            if interrupted.is_set():
                interrupted.clear()
                raise RuntimeError("interrupted")
        return run_all(work, store, *callbacks)

    tuning.engine.run_all, tuning.engine.interrupt = held, interrupted.set
    opened = Session(tuning)
    opened.gate = gate
    yield opened
    gate.set()
    opened.close()


def shown(pending, capsys):
    pending.show(lambda result: result.decision.selected)
    return capsys.readouterr().out


def test_where_all_runs_are_stored_the_work_has_ended_when_start_returns(session, capsys):
    session.tuning.results()
    pending = session.start(session.tuning.result, "dense")
    assert pending.is_done
    assert shown(pending, capsys) == f"{pending.result().decision.selected}\n"


def test_where_runs_are_missing_start_returns_while_they_are_made(session, capsys):
    session.gate.clear()
    pending = session.start(session.tuning.result, "dense")
    assert not pending.is_done
    later = session.start(session.tuning.results)
    assert not later.is_done
    session.gate.set()
    session.wait()
    assert pending.is_done
    assert [result.stage.name for result in later.result()] == ["base", "dense"]


def test_a_result_that_is_asked_for_is_waited_for(session):
    session.gate.clear()
    pending = session.start(session.tuning.result, "dense")
    threading.Timer(0.5, session.gate.set).start()
    assert pending.result().stage.name == "dense"


def test_an_interrupt_says_what_is_stored_and_the_next_wait_continues(session, monkeypatch):
    session.gate.clear()
    pending = session.start(session.tuning.result, "dense")
    pass_on = session._relay.pass_on

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session._relay, "pass_on", interrupt)
    with pytest.raises(Stopped, match=r"Interrupted: no run has ended yet\. Run this cell again to continue"):
        session.wait()
    assert not pending.is_done
    monkeypatch.setattr(session._relay, "pass_on", pass_on)
    session.gate.set()
    session.wait()
    assert pending.result().stage.name == "dense"


def test_an_interrupt_is_one_line_in_a_notebook():
    assert Stopped("Interrupted. 2 are stored.")._render_traceback_() == ["cnnlab: Interrupted. 2 are stored."]


def test_a_wrong_stage_is_an_error_in_its_own_cell_and_nothing_waits_for_it(session):
    with pytest.raises(ConfigError, match="Expected a stage named base"):
        session.start(session.tuning.result, "droput")
    session.wait()


def test_work_that_is_started_again_fills_the_cells_that_wait_for_it(session, capsys):
    session.gate.clear()
    shown = []
    first = session.start(session.tuning.result, "dense")
    first.show(lambda result: shown.append(result.stage.name))
    assert session.start(session.tuning.result, "dense") is first
    session.gate.set()
    session.wait()
    assert shown == ["dense"]


def test_work_that_fails_is_an_error_of_wait_once_and_the_next_work_is_done(session):
    session.gate.clear()
    session.start(session.tuning.result, "dense")
    session.start(session.tuning.compare_custom_trials, "dense", {"mine": {"dense_unit": 96}})
    later = session.start(session.tuning.results)
    session.gate.set()
    with pytest.raises(ConfigError, match="Did you mean 'dense_units'"):
        session.wait()
    session.wait()
    assert later.is_done


def test_work_of_the_same_function_with_other_arguments_replaces_the_one_that_has_not_ended(session):
    session.gate.clear()
    first = session.start(session.tuning.result, "dense")
    second = session.start(session.tuning.result, "base")
    session.gate.set()
    session.wait()
    assert second.result().stage.name == "base"
    assert not first.is_done


def test_work_that_is_stopped_before_it_began_is_done_once_when_it_is_waited_for(session):
    session.gate.clear()
    first = session.start(session.tuning.result, "dense")
    done = []
    second = session.start(done.append, 1)
    session.stop()
    assert second.future.cancelled()
    session.gate.set()
    session.wait()
    assert first.is_done
    assert done == [1]


@pytest.fixture
def open_study(monkeypatch):
    """Opens a study as a notebook does that has opened none before."""
    monkeypatch.setattr(sessions, "_session", None)
    monkeypatch.setattr(sessions, "_workers", None)
    return lab.open_study


def test_a_budget_is_a_profile_or_a_profile_with_changes(open_study, folder):
    assert open_study(folder, budget="smoke").tuning.budget.profile == "smoke"
    tuning = open_study(folder, budget={"profile": "smoke", "seeds": 3}).tuning
    assert (tuning.budget.profile, tuning.budget.seeds) == ("smoke", 3)


def test_all_sessions_of_a_notebook_have_the_same_workers(open_study, folder):
    assert open_study(folder).tuning.engine is open_study(folder, budget="smoke").tuning.engine


def test_the_connection_to_a_scheduler_that_a_session_names_ends_with_it(open_study, folder, shared_engine):
    def clients():
        return shared_engine.client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))

    before = clients()
    session = open_study(folder, scheduler=shared_engine.address)
    assert session.tuning.engine.call(pow, 2, 3) == 8
    assert len(clients()) == len(before) + 1
    open_study(folder)
    assert clients() == before
    assert shared_engine.call(pow, 2, 3) == 8


def test_a_setting_that_does_not_exist_is_named(open_study, folder):
    with pytest.raises(ConfigError, match=r"Received: 'protocl'\. Did you mean 'protocol'\?"):
        open_study(folder, protocl="published")
    with pytest.raises(ConfigError, match="Expected budget to be a profile"):
        open_study(folder, budget=3)


def test_opening_a_study_again_stops_the_work_of_the_earlier_session(session, open_study, folder, monkeypatch):
    session.gate.clear()
    pending = session.start(session.tuning.result, "dense")
    monkeypatch.setattr(sessions, "_session", session)
    open_study(folder)
    assert pending.future.done()
    assert not pending.is_done


def test_opening_a_study_with_a_wrong_setting_stops_no_work(session, open_study, folder, monkeypatch):
    session.gate.clear()
    pending = session.start(session.tuning.result, "dense")
    monkeypatch.setattr(sessions, "_session", session)
    workers = session.tuning.engine
    monkeypatch.setattr(sessions, "_workers", workers)
    told = workers.on_no_workers
    for wrong in ({"budget": "fast"}, {"size": "abc"}):
        with pytest.raises(ConfigError):
            open_study(folder, **wrong)
    assert workers.on_no_workers is told
    session.gate.set()
    session.wait()
    assert pending.is_done
