"""The store in PostgreSQL: the contract, on a real server, what is peculiar to it, and each refusal in a sentence."""

import json
import math
import os
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import PASSWORD, QUOTED
from test_cli import MNIST, ODD, begun, ended, kept, opened, refuse_odd_name
from test_reader import LOG, NAMED, NAMED_ASKED
from test_store import EVENTS
from waiting import until

from maggy import experiment
from maggy.cli.app import app
from maggy.errors import ConfigError, StoreError, StoreUnavailable, StudyMoved, StudyOwned
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.jsonvalue import loads
from maggy.store import LEASE, Owner, open_reader, open_store, schema
from maggy.store.postgres_schema import VIEWS
from maggy.store.sql import _rows
from maggy.study import Study
from maggy.testing.store_contract import EXAMPLES, NOW, StoreContract, elsewhere, report


@pytest.fixture
def url(postgres):
    return postgres.url()


@pytest.fixture
def store(url):
    with closing(open_store(url)) as store:
        yield store


def held(store, name="digits", events=()):
    """Make a study that this process holds; return its name and its owner."""
    study, owner = store.create(name, NOW), Owner.current()
    store.claim(study, owner, NOW)
    store.append(study, 0, events)
    return study, owner


TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"


def named(url):
    """Return the schema of a URL."""
    return url.rpartition("%3D")[2]


def run(*arguments):
    """Run a command in this process; return its exit code and what it prints."""
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.output


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, url):
        with closing(open_store(url)) as store:
            yield store

    def again(self, store):
        return open_store(str(store))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logged=st.lists(st.lists(st.one_of(*EVENTS.values()), max_size=5), max_size=4))
def test_any_event_round_trip(store, logged):
    """Whatever the events hold, what is read is what was written, in its order."""
    study, position = store.create("digits", NOW), 0
    store.claim(study, Owner.current(), NOW)
    for turn in logged:
        position = store.append(study, position, turn)
    assert repr(list(store.read(study))) == repr([event for turn in logged for event in turn])


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_reader_sees_what_a_file_would_show(url, tmp_path):
    """Facts, trials, reports and the last of them are the same from PostgreSQL as from a file."""
    log = [*LOG, Suggested(NOW, 4, {"lr": 1}, None, None, 0), Ended(NOW, 4, 1, "failed", math.nan, {"acc": math.nan})]
    seen = []
    for where in (tmp_path / "maggy.db", url):
        with closing(open_store(where)) as store:
            held(store, events=log)
        with closing(open_reader(where)) as reader:
            facts = [[*fact[:5], str(fact[5]), fact[6]] for fact in reader.facts("digits", bodies=["Suggested"])]
            trials = [repr(event) for event in reader.of_trials("digits", [1, 4])]
            reports = [repr(event) for event in reader.reports("digits", 1)]
            unfinished = [fact[0] for fact in reader.facts("digits", ["Started"], unfinished=True)]
            seen.append([facts, trials, reports, unfinished, repr(reader.last_reports("digits", [1, 2, 3]))])
    assert seen[0] == seen[1]


def test_a_reader_cannot_write(url, store):
    """Whoever only looks could not write if he wanted to."""
    held(store)
    with closing(open_reader(url)) as reader:
        with pytest.raises(StoreError, match="can only be read"), reader._reading() as connection:
            connection.exec_driver_sql("DELETE FROM studies")
        assert len(reader.studies()) == 1


def test_a_reader_makes_no_store(url, postgres):
    """Where there is none, reading and what needs one say so, and make none."""
    for opening in (open_reader, lambda where: open_store(where, existing=True)):
        with pytest.raises(StoreError, match=r"there is no store at .*`maggy create-table` makes"):
            opening(url)
    assert postgres.run(TABLES, named(url)) == [(0,)]


def test_characters_that_postgres_does_not_have(url, store, postgres):
    """A trial that prints a character 0 or half of a pair is listed and shown like any other."""
    strange = Ended(NOW, 1, 1, "failed", None, {}, None, "Trace\x00back \udc80 \\u0000 …")
    _, owner = held(store, events=[*EXAMPLES[:1], *begun(1, note="\x00"), strange])
    assert list(store.read("digits"))[-1] == strange
    with closing(open_reader(url)) as reader:
        assert [fact[4] for fact in reader.facts("digits", ["Ended"])] == ["failed"]
    [(error,)] = postgres.run("SELECT error FROM trials", named(url))
    assert error == "Trace\ufffdback \ufffd \\ufffd …"
    store.release("digits", owner)


def test_names_that_no_study_has(url, store):
    """A name that PostgreSQL could not even be asked for is one that is not there."""
    held(store)
    with closing(open_reader(url)) as reader:
        for name in ("a\x00b", "\udc80", "x" * 10_000, "'; DROP TABLE studies; --"):
            assert reader.latest(name) is None
            with pytest.raises(StoreError, match="no study"):
                reader.read(name)
            with pytest.raises(StoreError, match="no study"):
                store.append(name, 0, [report(1)])


# -- views ---------------------------------------------------------------------------------------------------------


def test_views(url, store, postgres):
    """They say what those of a file say, but that numbers that are not finite are PostgreSQL's own."""
    ends = [*LOG, Suggested(NOW, 4, {"lr": 0.4}, 1.0, None, 0), Ended(NOW, 4, 1, "failed", math.nan, {"acc": math.nan})]
    held(store, events=ends)
    ask = lambda question: postgres.run(question, named(url))  # noqa: E731
    found = ask("SELECT trial, status, value, budget, attempts, params ->> 'lr' FROM trials ORDER BY trial")
    assert found[:3] == [
        (1, "completed", 0.7, None, 1, "0.1"),
        (2, "queued", None, 3.0, 1, "0.2"),
        (3, "running", None, None, 1, "0.3"),
    ]
    assert repr(found[3]) == "(4, 'failed', nan, 1.0, 0, '0.4')"
    metrics = ask("SELECT study, trial, attempt, step, metric, value FROM metrics ORDER BY step, metric")
    assert [repr(row[2:]) for row in metrics] == [
        "(1, 0, 'acc', 0.5)",
        "(1, 0, 'loss', nan)",
        "(1, 1, 'acc', 0.7)",
        "(1, 1, 'loss', inf)",
    ]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_view_of_the_best_is_that_of_the_fold(url, store, postgres, direction):
    """`best` has each study's best trial as a result has it: completed, of the largest budget, finite."""
    log = [StudyOpened(NOW, {"name": "digits", "metric": "acc", "direction": direction, "num_trials": 9})]
    ends = [(1, 0.9, "completed"), (3, 0.5, "completed"), (3, 0.6, "completed"), (3, 0.6, "completed")]
    ends += [(9, 0.7, "stopped"), (9, math.inf, "failed"), (9, None, "failed"), (9, math.nan, "completed")]
    for trial, (budget, value, status) in enumerate(ends, 1):
        log += [Suggested(NOW, trial, {"lr": 1}, float(budget), None, 0)]
        log += [Ended(NOW + trial, trial, 1, status, value, {})]
    held(store, events=log)
    best = Study.of(log[:-2]).best
    assert postgres.run("SELECT study, trial, value FROM best", named(url)) == [("digits", best.id, best.value)]


def test_what_the_page_of_the_store_asks(url, store, postgres):
    """The questions of docs/store.md are understood here as well."""
    held(store, events=[*LOG, Suggested(NOW, 4, {"lr": 0.4}, None, None, 0), Ended(NOW, 4, 1, "completed", 0.9, {})])
    page = (Path(__file__).parents[1] / "docs" / "store.md").read_text(encoding="utf-8")
    first, second, third = re.search(r"```sql\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert [row[0] for row in postgres.run(first, named(url))][:2] == [4, 1]
    assert postgres.run(second.replace("3 AND metric = 'accuracy'", "1 AND metric = 'acc'"), named(url)) == [
        (0, 0.5),
        (1, 0.7),
    ]
    assert postgres.run(third, named(url)) == [("digits", 4, 0.9, "0.4")]


def test_what_a_user_has_to_be_allowed(url, store, postgres):
    """Who may read can look, who may also leave requests can stop a study, and neither can do more."""
    held(store, events=[report(1)])
    name = named(url)
    postgres.run(f"GRANT USAGE ON SCHEMA {name} TO ada; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO ada")
    theirs = postgres.url(name, user=f"ada:{QUOTED}")
    assert run("-db", theirs, "list") == (0, "digits\n")
    assert "may not be used so by that user: GRANT it" in run("-db", theirs, "stop", "digits")[1]
    postgres.run("GRANT INSERT ON requests TO ada; GRANT USAGE ON requests_id_seq TO ada", name)
    assert run("-db", theirs, "stop", "digits")[0] == 0
    assert store.requests("digits") == ["stop"]
    with closing(open_store(theirs)) as other, pytest.raises(StoreError, match="may not be used so by that user"):
        other.create("faces", NOW)


# -- versions and other programs -----------------------------------------------------------------------------------


def test_a_store_of_an_earlier_version(url, store, monkeypatch):
    """It is brought up to date when it is opened for writing, all or nothing; reading alone says how."""
    held(store, events=[report(1)])
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(StoreError, match=r"by an earlier maggy.*`maggy create-table`"):
        open_reader(url)
    upgrades = {schema.VERSION - 1: ("ALTER TABLE studies ADD COLUMN mood TEXT", "ALTER TABLE nowhere ADD x TEXT")}
    monkeypatch.setattr("maggy.store.postgres.UPGRADES", upgrades)
    with pytest.raises(StoreError, match="nowhere"):
        open_store(url)
    upgrades[schema.VERSION - 1] = upgrades[schema.VERSION - 1][:1]
    open_store(url).close()
    with closing(open_reader(url)) as reader:
        assert list(reader.read("digits")) == [report(1)]


def test_a_store_of_version_4(url, store, postgres):
    """Its view of trials took no notice of what they have named themselves."""
    held(store, events=NAMED)
    store.close()
    before = VIEWS["trials"].replace("n -> 'params'", "s -> 'params'").replace("CREATE", "CREATE OR REPLACE", 1)
    postgres.run(before, named(url))
    postgres.run("UPDATE maggy SET version = 4", named(url))
    assert [params for _, _, params in postgres.run(NAMED_ASKED, named(url))] == [{"lr": 0.5}, {"lr": 0.2}]
    open_store(url).close()
    assert [params for _, _, params in postgres.run(NAMED_ASKED, named(url))] == [
        {"lr": 0.5, "units": 3, "kind": "x"},
        {"lr": 0.2},
    ]


def test_a_store_of_a_later_version(url, store, postgres):
    """It is refused and left as it is."""
    store.close()
    postgres.run("UPDATE maggy SET version = 99", named(url))
    for opening in (open_reader, open_store):
        with pytest.raises(StoreError, match=r"by a later maggy \(its schema is 99, this one knows"):
            opening(url)


def test_tables_of_another_program(url, postgres):
    """A schema in which one of our names is another's is left as it is."""
    postgres.run("CREATE TABLE metrics (x INTEGER)", named(url))
    for opening in (open_reader, open_store):
        with pytest.raises(
            StoreError, match="holds metrics of another program; nothing was done with it: name another"
        ):
            opening(url)
    assert postgres.run(TABLES, named(url)) == [(1,)]


def test_stores_of_one_server_do_not_mix(postgres):
    """Each schema is a store of its own."""
    for url in (postgres.url(), postgres.url()):
        with closing(open_store(url)) as store:
            assert held(store)[0] == "digits"


def test_many_make_a_store_and_studies_at_once(url):
    """Who is first makes the tables, and studies of one base get one name each."""
    found = []

    def make():
        with closing(open_store(url)) as store:
            found.extend(store.create("digits", NOW) for _ in range(5))

    threads = [Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(["digits", *(f"digits-{number}" for number in range(2, 31))])


# -- refusals ------------------------------------------------------------------------------------------------------


def refusals(postgres):
    """Yield URLs that lead nowhere, and what is said of them."""
    yield postgres.url(port=1), "cannot be reached, or does not answer"
    yield postgres.url(host="nowhere.invalid"), "is on a host that is unknown here"
    yield postgres.url(user="ada"), "wants a password: give it in PGPASSWORD or in ~/.pgpass"
    yield postgres.url(user="ada:geheim"), "does not accept that user's password"
    yield postgres.url(user=f"ada:{QUOTED}"), "has no schema that this user can use"
    yield postgres.url("public", user=f"ada:{QUOTED}"), "may not be used so by that user: GRANT it"
    yield postgres.url(user="nobody:geheim"), "has no such user"
    yield postgres.url().replace("/postgres?", "/elsewhere?"), "has no such database"
    yield postgres.url(schema="nowhere"), "has no schema that this user can use"
    yield "postgresql:///postgres?host=/nowhere", "cannot be reached, or does not answer"
    for unclear in ("ada:ge@heim@h/d", "ada:geheim", "ada:1/geheim@h/d", "h/d?geheim=1", "[geheim"):
        yield f"postgresql://{unclear}", "is no URL of a database: write postgresql://USER@HOST:PORT/DATABASE"


def test_refusals(postgres, tmp_path, monkeypatch):
    """What cannot be is one sentence, exit code 2, from every way in, and never a password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    for url, sentence in refusals(postgres):
        for command in (["create-table"], ["list"], ["stop", "digits"]):
            code, said = run("-db", url, *command)
            assert (code, len(said.splitlines())) == (2, 1), said
            if command == ["create-table"] or "GRANT" not in sentence:  # who may not make a store finds none
                assert sentence in said
            assert "geheim" not in said
        with pytest.raises((ConfigError, StoreError)) as caught:
            experiment.lagom(lambda x: x, {"x": (0.0, 1.0)}, num_trials=1, launcher="local", store=url)
        assert sentence in str(caught.value)
        assert "geheim" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert list(tmp_path.iterdir()) == []


def test_a13_a_password_is_shown_nowhere(postgres, tmp_path, capfd, monkeypatch):
    """A13: it is in no repr, no result, no line that goes on with a study, and not in the database."""
    monkeypatch.chdir(tmp_path)
    name = postgres.schema()
    postgres.run(f"GRANT ALL ON SCHEMA {name} TO ada")
    url = postgres.url(name, user=f"ada:{QUOTED}")
    options = {"launcher": "local", "num_executors": 1, "store": url, "name": "digits"}
    result = experiment.lagom(shout, {"x": (0.0, 1.0)}, num_trials=2, **options)
    with closing(open_store(url)) as store, closing(open_reader(url)) as reader:
        shown = [
            repr(store),
            repr(reader),
            str(store),
            repr(store._engine),
            repr(store._engine.url),
            repr(vars(result)),
        ]
    for question in ("SELECT studies::text FROM studies", "SELECT body FROM events"):
        shown += [json.dumps(postgres.run(question, name))]
    shown += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    shown += [run("-db", url, *command)[1] for command in (["doctor"], ["resume", "digits"], ["create-table"])]
    shown += capfd.readouterr()
    assert f"store='postgresql://ada@127.0.0.1:{postgres.port}/postgres?options=-csearch_path%3D{name}'" in "".join(
        shown
    )
    for secret in (PASSWORD, QUOTED, "geheim"):
        assert secret not in "".join(shown)


def shout(x):
    raise ValueError("no")


def test_the_address_that_is_shown_leads_there(postgres, url, store):
    """Without a password in it, what a store calls itself opens it: also on a socket, or as one of several hosts."""
    held(store)
    name = named(url)
    for where in (
        url,
        url.replace("postgresql:", "postgres:"),
        url.replace("postgresql:", "postgresql+psycopg:"),
        f"postgresql://maggy@/postgres?host={postgres.home}&port={postgres.port}&options=-csearch_path%3D{name}",
        url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:"),
    ):
        with closing(open_reader(where)) as first, closing(open_reader(str(first))) as second:
            assert str(first) == str(second)
            assert [entry.name for entry in second.studies()] == ["digits"]


def test_without_psycopg(monkeypatch):
    """Without its driver PostgreSQL is refused with what to install."""
    monkeypatch.delitem(sys.modules, "maggy.store.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'maggy\[postgres\]'"):
        open_store("postgresql://h/d")


def test_a_database_without_all_characters(postgres):
    """A database that could not hold what trials say is refused before it has to."""
    postgres.run("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match="keeps texts as LATIN1, which has not all characters"):
        open_store(postgres.url("public").replace("/postgres?", "/old?"))


# -- commands ------------------------------------------------------------------------------------------------------


def test_commands_say_what_they_say_of_a_file(url, tmp_path, monkeypatch):
    """Every command that only looks prints the same of one study in both."""
    monkeypatch.chdir(tmp_path)
    log = [*MNIST, ended(9, 0.0398, at=NOW - 1e8), ended(10, math.nan, "failed", error="Error: no\x00"), ended(11, 1)]
    for where in ("maggy.db", url):
        with kept(where, "mnist", log):
            pass
    for command in (
        *(
            ["list"],
            ["list", "-runs", "-values", "."],
            ["info", "mnist"],
            ["info", "-v", "mnist:9"],
            ["metrics", "mnist:9"],
        ),
        *(["leaderboard", "mnist"], ["best", "mnist"], ["compare", "mnist"], ["export", "--csv", "mnist"]),
        *(["export", "--json", "mnist"], ["explain", "mnist:10"], ["leaderboard", "--json", "mnist"]),
    ):
        said = [run("-db", where, *command) for where in ("maggy.db", url)]
        assert said[0] == said[1], command
        assert said[0][0] == 0, said
    listed = [loads(run("-db", where, "list", "-runs", "--json")[1]) for where in ("maggy.db", url)]
    assert str(listed[0]) == str(listed[1])


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a14_a15_odd_names(url, name, tmp_path, monkeypatch):
    """A14, A15: names from the command line are values here as well: they find nothing, and change nothing."""
    monkeypatch.chdir(tmp_path)
    with kept(url, "a", [opened("a"), *begun(1)]):
        refuse_odd_name(name, tmp_path, "-db", url)
        with pytest.raises(ConfigError):
            experiment.load(name, store=url)


STUDY = """
def train(params):
    return run_config(system=localsystem("local", 2), script="echo METRICS: loss=%(x)d" % params)

study(name="toy", params={"x": discrete(3, 1, 2)}, objective=minimize("loss"), oracle=grid_search, run=train)
"""


def test_a_study_file_is_run_in_it(url, tmp_path):
    """`maggy run` and the commands that look at its study find the store by MAGGY_STORE."""
    (tmp_path / "toy.dv").write_text(STUDY)
    root = Path(schema.__file__).parents[2]
    environment = {**os.environ, "MAGGY_STORE": url, "PYTHONPATH": str(root)}
    for arguments, said in (
        (["run", "-stream", "-trials", "2", "toy.dv"], "streaming 2 trials"),
        (["best", "toy"], "value:     1"),
        (["logs", "toy:1"], "echo METRICS"),
    ):
        command = [sys.executable, "-m", "maggy", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert said in ran.stdout + ran.stderr
    with closing(open_reader(url)) as reader:
        assert [fact[4] for fact in reader.facts("toy", ["Ended"])] == ["completed"] * 3


# -- a server that goes away ---------------------------------------------------------------------------------------


def broken(store, postgres):
    """Have the server break the connection with which a store writes."""
    pid = store._writer.connection.dbapi_connection.info.backend_pid
    postgres.run(f"SELECT pg_terminate_backend({pid}, 10000)")


def test_f39_a_connection_that_breaks_is_made_anew(store, postgres):
    """F39: who is in haste is told to try again, who is not waits, and nothing is lost."""
    study, owner = held(store, events=[report(1)])
    broken(store, postgres)
    with pytest.raises(StoreUnavailable, match="has ended the connection"):
        store.append(study, 1, [report(2)])
    until(lambda: tried(lambda: store.append(study, 1, [report(2)])))
    broken(store, postgres)
    with pytest.raises(StoreUnavailable):
        store.renew(study, owner, NOW)
    store.request(study, "stop")
    assert store.requests(study) == ["stop"]
    assert list(store.read(study)) == [report(1), report(2)]


def tried(call):
    try:
        call()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize("done", [True, False])
def test_f39_an_append_of_which_nothing_was_heard(store, postgres, monkeypatch, done):
    """F39: whether it was done or not, the same append again writes it once; another one is refused."""
    study, _ = held(store, events=[report(1)])
    turn = [report(2), Started(NOW, 2, 1, "e")]
    real = store._database.append

    def unheard(connection, *arguments):
        if done:
            real(connection, *arguments)
            store._database._doubts[arguments[0][2]] = arguments
        broken(store, postgres)
        return real(connection, *arguments)

    monkeypatch.setattr(store._database, "append", unheard)
    with pytest.raises(StoreUnavailable):
        store.append(study, 1, turn)
    monkeypatch.undo()
    if done:
        until(lambda: tried(lambda: store.requests(study)))
        doubts = dict(store._database._doubts)
        with pytest.raises(StudyMoved, match="its last position is 3, not 1"):
            store.append(study, 1, [report(3), Started(NOW, 2, 1, "e")])
        store._database._doubts = doubts
    until(lambda: tried(lambda: store.append(study, 1, turn)))
    assert store.append(study, 3, [report(4)]) == 4
    assert list(store.read(study)) == [report(1), *turn, report(4)]


def test_f39_a_fenced_driver_does_not_take_anothers_append_for_its_own(url, store, postgres):
    """F38, F39: the same rows at the same position, but by another owner, are not this one's."""
    study, _ = held(store)
    turn = (1, 0, 1, 0, store._tokens[study][1])
    store._database._doubts[1] = (turn, *_rows(1, 0, [report(1)]))
    with closing(open_store(url)) as other:
        postgres.run("UPDATE studies SET token = 'another'", named(url))
        postgres.run("UPDATE studies SET position = 1", named(url))
        with pytest.raises(StudyMoved, match="has taken it over"):
            store.append(study, 0, [report(1)])
        assert next(iter(other.studies())).position == 1


def test_settings_of_a_connection(url, postgres):
    """What is confirmed is durable whatever the server prefers, and who stands still holds nobody up for long."""
    postgres.run("ALTER ROLE maggy SET synchronous_commit = off")
    try:
        with closing(open_store(url)) as store, store._held(None) as connection:
            ask = lambda name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()  # noqa: E731
            found = [
                ask(name) for name in ("synchronous_commit", "idle_in_transaction_session_timeout", "lock_timeout")
            ]
            assert found == ["on", "10s", "20s"]
            assert ask("search_path") == named(url)
    finally:
        postgres.run("ALTER ROLE maggy RESET synchronous_commit")


@pytest.mark.parametrize(
    ("setting", "value"), [("extra_float_digits", "0"), ("default_transaction_isolation", "'repeatable read'")]
)
def test_what_a_role_prefers_changes_nothing(url, postgres, setting, value):
    """Times come back to the last digit, and who waits for the names sees those that were given meanwhile."""
    postgres.run(f"ALTER ROLE maggy SET {setting} = {value}")
    try:
        with closing(open_store(url)) as store, closing(open_store(url)) as other:
            study, _ = held(store, events=[report(1), replace(report(1), at=1763780000.123457)])
            assert [event.at for event in store.read(study)] == [report(1).at, 1763780000.123457]
            made = []
            naming = Thread(target=lambda: made.append(other.create("digits", NOW)))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            with store._writing() as connection:
                store._database.lock_names(connection)
                naming.start()
                until(lambda: postgres.run(waiting) == [(1,)])
                connection.exec_driver_sql(
                    "INSERT INTO studies (name, base, number, created) VALUES ('digits-2', 'digits', 2, 0)"
                )
            naming.join(30)
            assert made == ["digits-3"]
    finally:
        postgres.run(f"ALTER ROLE maggy RESET {setting}")


def test_f38_a_sign_of_life_amid_a_claim(url, store, postgres):
    """F38: who is about to take a study over, and finds that its owner has just renewed its claim, leaves it there."""
    study, them = store.create("digits", NOW), elsewhere()
    store.claim(study, them, NOW)
    refused = []

    def claim():
        with closing(open_store(url)) as other:
            try:
                other.claim(study, Owner.current(), NOW + LEASE + 1)
            except StudyOwned as error:
                refused.append(error)

    claiming = Thread(target=claim)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%studies%'"
    with store._writing() as connection:
        connection.exec_driver_sql("UPDATE studies SET renewed = %s", (NOW + LEASE,))
        claiming.start()
        until(lambda: postgres.run(waiting) == [(1,)])
    claiming.join(30)
    assert len(refused) == 1
    assert store.studies()[0].owner == them


def test_closing_while_a_connection_is_made(store, postgres, monkeypatch):
    """A store that is closed then leaves no connection behind."""
    study, _ = held(store)
    broken(store, postgres)
    with pytest.raises(StoreUnavailable):
        store.append(study, 0, [report(1)])
    monkeypatch.setattr("maggy.store.sql._MOMENT", 0.0)
    tried(lambda: store.append(study, 0, [report(1)]))
    store.close()
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maggy'"
    until(lambda: postgres.run(mine) == [(0,)], 20, lambda: postgres.run("SELECT query FROM pg_stat_activity"))


def test_readers_do_not_wait_for_writers(url, store, postgres):
    """Within an open transaction of another, reading goes on and shows nothing of it; and the other way around."""
    study, _ = held(store, events=[report(1)])
    with closing(open_reader(url)) as reader, store._writing() as connection:
        connection.exec_driver_sql("UPDATE studies SET position = 7")
        assert reader.studies()[0].position == 1
        connection.rollback()
    with closing(open_reader(url)) as reader, reader._reading() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT * FROM studies, reports")
        assert store.append(study, 1, [report(2)]) == 2
        assert isinstance(next(iter(store.read(study))), Reported)
