"""What psycopg programs do to change rows, done with lakebox's PostgreSQL port.

usage: changes_checks.py PORT URL

Needs silver.shop_kinds as e2e/tests/clients.rs makes it.
"""

import json
import sys
import urllib.request

import psycopg
from checks import check, equal, run
from psycopg import errors


def connect(autocommit=False):
    return psycopg.connect(f"host=127.0.0.1 port={sys.argv[1]} user=analyst dbname=lakebox", autocommit=autocommit)


def rows(c, sql="select id, n, note from stock.t order by id"):
    return c.execute(sql).fetchall()


@check
def rows_are_changed_with_parameters(_):
    with connect(autocommit=True) as c:
        c.execute("create schema stock")
        c.execute("create table stock.t (id bigint primary key, n bigint, note text)")
        with c.cursor() as cursor:
            cursor.executemany("insert into stock.t values (%s, %s, %s)", [(i, i * 10, f"row {i}") for i in range(1, 6)])
        equal(c.execute("update stock.t set n = %s, note = %s where id = any(%s)", (7, "seven", [1, 2])).rowcount, 2)
        equal(c.execute("delete from stock.t where note = %s", ("row 5",)).rowcount, 1)
        equal(rows(c), [(1, 7, "seven"), (2, 7, "seven"), (3, 30, "row 3"), (4, 40, "row 4")])


@check
def a_transaction_is_undone_and_done(_):
    with connect() as c, connect(autocommit=True) as other:
        c.execute("delete from stock.t where id > 2")
        c.execute("update stock.t set n = n + 1")
        equal(rows(c), [(1, 8, "seven"), (2, 8, "seven")])
        equal(len(rows(other)), 4)
        c.rollback()
        equal(len(rows(c)), 4)
        c.rollback()
        with c.transaction():
            c.execute("update stock.t set note = null where id = 3")
            try:
                with c.transaction():
                    c.execute("delete from stock.t")
                    raise psycopg.Rollback()
            except psycopg.Rollback:
                pass
        equal(rows(other)[2:], [(3, 30, None), (4, 40, "row 4")])


@check
def a_conflict_is_a_serialization_failure_and_can_be_run_again(_):
    with connect() as first, connect() as second:
        first.execute("update stock.t set n = n + 1 where id = 1")
        second.execute("update stock.t set n = n + 10 where id = 1")
        first.commit()
        try:
            second.commit()
            raise AssertionError("both took place")
        except errors.SerializationFailure:
            second.rollback()
        second.execute("update stock.t set n = n + 10 where id = 1")
        second.commit()
        equal(rows(second)[0], (1, 18, "seven"))


@check
def a_merge_and_an_upsert(_):
    with connect(autocommit=True) as c:
        sql = """merge into stock.t using (values (1, 0), (4, 1), (9, 90)) as s (id, n) on t.id = s.id
                 when matched and s.n = 0 then delete when matched then update set n = t.n + s.n
                 when not matched then insert (id, n) values (s.id, s.n)"""
        equal(c.execute(sql).rowcount, 3)
        upsert = "insert into stock.t values (%s, %s, %s) on conflict (id) do update set n = excluded.n, note = excluded.note"
        equal([c.execute(upsert, (i, 1, "new")).rowcount for i in (9, 10)], [1, 1])
        equal(rows(c), [(2, 7, "seven"), (3, 30, None), (4, 41, "row 4"), (9, 1, "new"), (10, 1, "new")])
        try:
            c.execute("update silver.shop_kinds set note = 'x'")
            raise AssertionError("silver was changed")
        except errors.ReadOnlySqlTransaction as error:
            assert "CREATE SCHEMA" in (error.diag.message_hint or ""), error.diag.message_hint


@check
def columns_change(_):
    with connect(autocommit=True) as c:
        c.execute("alter table stock.t add column day date, alter column n set not null")
        c.execute("alter table stock.t rename column note to remark")
        c.execute("update stock.t set day = '2026-11-23', remark = null where id = 10")
        equal([str(v) for v in c.execute("select remark, day from stock.t where id = 10").fetchone()], ["None", "2026-11-23"])


@check
def upkeep_is_called(_):
    with connect(autocommit=True) as c:
        before = rows(c, "select * from stock.t order by id")
        step = c.execute("call system.compact('stock.t')").fetchall()
        equal([row[:2] for row in step], [("stock.t", "rewrite")])
        files = c.execute("select count(*) from stock.\"t$files\"").fetchone()[0]
        equal(files, 1)
        equal(rows(c, "select * from stock.t order by id"), before)
        try:
            c.execute("call system.compct('stock.t')")
            raise AssertionError("there is no such procedure")
        except errors.UndefinedFunction as error:
            assert "system.compact" in error.diag.message_hint, error.diag.message_hint


@check
def http_changes_rows_and_says_how_many(_):
    def ask(query, params=()):
        body = json.dumps({"query": query, "params": list(params)}).encode()
        request = urllib.request.Request(f"{sys.argv[2]}/api/v1/sql", body, {"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request))["rows"]

    equal(ask("update stock.t set n = $1 where id in (2, $2)", [3, 3]), [["UPDATE", 2]])
    equal(ask("select n from stock.t where id in (2, 3)"), [[3], [3]])
    equal(ask("insert into stock.t (id, n) values ($1, $2)", [11, 1]), [["INSERT", 1]])
    equal(ask("drop table stock.t"), [["DROP TABLE", None]])


if __name__ == "__main__":
    run(None)
