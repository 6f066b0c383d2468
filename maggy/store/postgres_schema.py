"""What PostgreSQL is told in words of its own: an append, the views, and how earlier versions are brought up to date.

The tables are those of `store.schema`. The views are SQLite's, but that a number which is not finite is one of
PostgreSQL's `double precision`, and that `params` and `metrics` are `jsonb`.
"""

from __future__ import annotations

# Those in this schema whose names are a store's.
TABLES = """SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'v', 'm', 'f')
   AND relname IN ('maggy', 'studies', 'events', 'reports', 'requests', 'trials', 'metrics', 'best')"""

# An append: a statement, so a transaction of its own, in which nobody can stand still, and one way there and back. Its
# parameters are those of a `Turn`, then columns of events, then of reports.
APPEND = """WITH moved AS (
  UPDATE studies SET position = %s, low = %s WHERE id = %s AND position = %s AND token = %s RETURNING id
), facts AS (
  INSERT INTO events (study, position, at, kind, trial, body, crc)
  SELECT moved.id, given.* FROM moved, unnest(
    %s::bigint[], %s::double precision[], %s::text[], %s::bigint[], %s::text[], %s::bigint[]) AS given
), points AS (
  INSERT INTO reports (study, position, at, trial, attempt, step, metrics, crc)
  SELECT moved.id, given.* FROM moved, unnest(
    %s::bigint[], %s::double precision[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[]) AS given
) SELECT count(*) FROM moved"""


def json_of(text: str, kind: str = "jsonb") -> str:
    """Return a text as JSON. PostgreSQL has no character 0 and no half of a pair, and refuses a body that names one."""
    strange = rf"regexp_replace({text}, '\\u(0000|d[89a-f][0-9a-f]{{2}})', '\\ufffd', 'g')"
    return rf"(CASE WHEN position('\u' in {text}) > 0 THEN {strange} ELSE {text} END)::{kind}"


def _number(json: str, key: str) -> str:
    return f"coalesce({json} #>> '{{{key},$f}}', {json} ->> '{key}')::double precision"


_TRIALS = f"""CREATE VIEW trials AS
SELECT studies.name AS study, life.trial,
       CASE WHEN latest.body IS NOT NULL THEN e ->> 'status' WHEN given > queued THEN 'running' ELSE 'queued' END
         AS status,
       {_number("e", "value")} AS value,
       {_number("s", "budget")} AS budget,
       (s ->> 'parent')::bigint AS parent,
       n -> 'params' AS params,
       e -> 'metrics' AS metrics,
       e ->> 'reason' AS reason,
       e ->> 'error' AS error,
       attempts, created_at, started_at, latest.at AS ended_at
  FROM (SELECT study, trial,
               max(CASE kind WHEN 'Suggested' THEN body END) AS suggested,
               max(CASE kind WHEN 'Started' THEN position END) AS given,
               max(CASE WHEN kind IN ('Suggested', 'Lost', 'Requeued') THEN position END) AS queued,
               max(CASE kind WHEN 'Ended' THEN position END) AS ended,
               max(CASE kind WHEN 'Drawn' THEN position END) AS drawn,
               count(*) FILTER (WHERE kind = 'Started') AS attempts,
               max(CASE kind WHEN 'Suggested' THEN at END) AS created_at,
               max(CASE kind WHEN 'Started' THEN at END) AS started_at
          FROM events WHERE trial IS NOT NULL GROUP BY study, trial) AS life
  JOIN studies ON studies.id = life.study
  LEFT JOIN events AS latest ON latest.study = life.study AND latest.position = ended AND ended > queued
  LEFT JOIN events AS named ON named.study = life.study AND named.position = drawn
 CROSS JOIN LATERAL (
       SELECT {json_of("suggested")} AS s, {json_of("coalesce(named.body, suggested)")} AS n,
              {json_of("latest.body")} AS e) AS bodies"""

_METRICS = f"""CREATE VIEW metrics AS
SELECT studies.name AS study, trial, attempt, step, each.key AS metric,
       coalesce(each.value ->> '$f', each.value #>> '{{}}')::double precision AS value, at
  FROM reports JOIN studies ON studies.id = reports.study
 CROSS JOIN LATERAL jsonb_each({json_of("reports.metrics")}) AS each"""

_BEST = f"""CREATE VIEW best AS
SELECT DISTINCT ON (trials.study) trials.study, trials.trial, value, budget, params, metrics
  FROM trials JOIN studies ON studies.name = trials.study
  JOIN events AS opened ON opened.study = studies.id AND opened.position = 1
 WHERE trials.status = 'completed' AND value NOT IN ('NaN', 'Infinity', '-Infinity')
 ORDER BY trials.study, coalesce(budget, 0) DESC,
       CASE {json_of("opened.body")} #>> '{{settings,direction}}' WHEN 'min' THEN value ELSE -value END,
       ended_at, trials.trial"""

VIEWS = {"trials": _TRIALS, "metrics": _METRICS, "best": _BEST}

# Statements by the version that they start from; version 4 was the first.
UPGRADES = {
    4: (_TRIALS.replace("CREATE", "CREATE OR REPLACE", 1),),  # the one before took no notice of what trials have named
}
