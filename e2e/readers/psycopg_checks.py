"""What a psycopg program does with a PostgreSQL server, done with lakebox's PostgreSQL port.

usage: psycopg_checks.py PORT

Needs silver.shop_kinds and silver.shop_many as e2e/tests/clients.rs makes them. Every check is tried; prints {"passed": [...], "failed": {check: why}}
and exits with 1 where one failed.
"""

import datetime as dt
import decimal
import json
import math
import sys
import threading
import traceback
import uuid

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

UTC = dt.timezone.utc
# Takes days, reads no table.
ENDLESS = "select count(*) from generate_series(1, 1000000000000) as a where a.value + a.value = -1"
RUNNING = "select count(*) from system.queries where state = 'running' and client = 'pgwire' and query like '%generate_series%' and query not like '%system%'"
CHECKS = []

# Rows 1 to 4 of silver.shop_kinds as Python values, column by column.
KINDS = {
    "id": [1, 2, 3, 4],
    "flag": [True, None, False, True],
    "small": [-7, None, 32767, 0],
    "big": [9007199254740993, None, -9223372036854775808, 0],
    "single": [1.5, None, math.nan, -math.inf],
    "double": [0.1, None, math.nan, math.inf],
    "amount": [decimal.Decimal(t) if t else None for t in ("12345.60", None, "-0.01", "9999999999.99")],
    "exact": [decimal.Decimal(t) if t else None for t in ("123456789012345678901234567890.12345678", None, "-0.00000001", "0.00000000")],
    "day": [dt.date(2026, 2, 28), None, dt.date(1969, 12, 31), dt.date(9999, 12, 31)],
    "moment": [dt.datetime(2026, 2, 28, 23, 59, 59, 123456), None, dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(2000, 1, 1)],
    "instant": [
        dt.datetime(2026, 2, 28, 21, 59, 59, 123456, UTC),
        None,
        dt.datetime(1900, 1, 1, tzinfo=UTC),
        dt.datetime(2000, 1, 1, tzinfo=UTC),
    ],
    "clock": [dt.time(12, 34, 56, 789000), None, dt.time(0), dt.time(23, 59, 59, 999999)],
    "note": ['Grüße, "quoted" \\ 100%', None, "", "line\nline"],
    "uid": ["0b5c7a9e-3f62-4d1a-9c0e-5a4b3c2d1e0f", None, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "raw": [b"\x00\xff\x10", None, b"", b"\xde\xad\xbe\xef"],
    "numbers": [[1, None, 3], None, [], [2147483647]],
    "words": [["a", "b,c", None, "NULL"], None, [], [""]],
}


def check(function):
    CHECKS.append(function)
    return function


def equal(got, wanted, what=""):
    # Texts of values: NaN equals itself there, and 1 does not equal True.
    got, wanted = plain(got), plain(wanted)
    assert repr(got) == repr(wanted), f"{what}: {got!r} where {wanted!r} is due"


def plain(value):
    """The value with one spelling of UTC."""
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    return value.astimezone(UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


def refused(connection, query, state, *args, **more):
    """Runs what must be refused, and says what the server said."""
    try:
        connection.execute(query, *args, **more)
    except psycopg.Error as error:
        assert error.sqlstate in (state if isinstance(state, tuple) else (state,)), f"{query}: SQLSTATE {error.sqlstate} ({error}) where {state} is due"
        return error
    raise AssertionError(f"{query} was taken")


@check
def simple_protocol(connect):
    with connect(cursor_factory=psycopg.ClientCursor) as connection:
        row = connection.execute("select id, note, amount from silver.shop_kinds where id = %s and flag = %s", [1, True]).fetchone()
        equal(row, (1, KINDS["note"][0], KINDS["amount"][0]))


@check
def several_statements_at_once(connect):
    with connect() as connection:
        cursor = connection.execute("select 1; select 'two'; select count(*) from silver.shop_many")
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        equal(results, [[(1,)], [("two",)], [(100000,)]])


@check
def extended_protocol_finds_rows_by_every_type(connect):
    with connect() as connection:
        for column, values in KINDS.items():
            if isinstance(values[0], list):
                continue
            value = uuid.UUID(values[0]) if column == "uid" else values[0]
            # A float of four bytes is compared with what eight bytes hold; 1.5 is the same in both.
            rows = connection.execute(f"select id from silver.shop_kinds where {column} = %s", [value]).fetchall()
            assert (1,) in rows, f"{column} = {value!r} finds {rows}"


# Samples by the type that a statement says.
PARAMETERS = {
    "bigint": [0, -1, 2**31 - 1, 2**53 + 1, -(2**63)],
    "text": ["", "x", "Grüße 'n' \"quotes\"", "%s"],
    "boolean": [True, False],
    "date": [dt.date(2026, 2, 28), dt.date(1969, 12, 31)],
    "timestamp": [dt.datetime(2026, 2, 28, 23, 59, 59, 123456)],
    "numeric(38,2)": [decimal.Decimal("123456789012345678901234567890.12"), decimal.Decimal("-0.50")],
    "double precision": [0.1, -1e300],
    "bytea": [b"\x00\xff"],
}


def round_trips(connect, cast, without=()):
    for form in ("%t", "%b"):
        with connect() as connection:
            for name, samples in PARAMETERS.items():
                if name in without:
                    continue
                for sample in samples:
                    (got,) = connection.execute(f"select {form}{cast(name)} as v", [sample]).fetchone()
                    assert type(got) is type(sample) and got == sample, f"{name} as {form}: {sample!r} comes back as {got!r}"


@check
def parameters_with_a_cast_come_back_as_they_went(connect):
    round_trips(connect, lambda name: f"::{name}")


@check
def parameters_alone_come_back_as_they_went(connect):
    # Decimals have a scale of their own here, which a bare parameter does not say.
    round_trips(connect, lambda _: "", without=["numeric(38,2)"])


@check
def moments_keep_their_zone(connect):
    there = dt.datetime(2026, 2, 28, 23, 59, 59, 123456, dt.timezone(dt.timedelta(hours=2)))
    with connect() as connection:
        for form in ("%t", "%b"):
            equal(connection.execute(f"select count(*) from silver.shop_kinds where instant = {form}", [there]).fetchone(), (1,))
            equal(connection.execute(f"select {form}::timestamptz as v", [there]).fetchone(), (there,))


@check
def a_parameter_may_be_null(connect):
    with connect() as connection:
        equal(connection.execute("select count(*) from silver.shop_kinds where note = %s", [None]).fetchone(), (0,))
        equal(connection.execute("select coalesce(%s, 'nothing')", [None]).fetchone(), ("nothing",))
        equal(connection.execute("select count(*) from silver.shop_kinds where %s::int is null", [None]).fetchone(), (5,))


@check
def lists_as_parameters(connect):
    with connect() as connection:
        rows = connection.execute("select id from silver.shop_kinds where id = any(%s) order by id", [[1, 4, 99]]).fetchall()
        equal(rows, [(1,), (4,)])
        rows = connection.execute("select id from silver.shop_kinds where note = any(%s)", [["", "x"]]).fetchall()
        equal(rows, [(3,)])


@check
def every_type_reads_the_same_as_text_and_as_binary(connect):
    with connect() as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for column, values in KINDS.items():
                rows = cursor.execute(f"select {column} from silver.shop_kinds where id <= 4 order by id").fetchall()
                equal([row[0] for row in rows], values, f"{column}, {'binary' if binary else 'text'}")


@check
def json_is_text_that_parses(connect):
    with connect() as connection:
        for binary in (False, True):
            rows = connection.cursor(binary=binary).execute("select doc from silver.shop_kinds where id <= 4 order by id").fetchall()
            values = [json.loads(doc) if isinstance(doc, str) else doc for (doc,) in rows]
            equal(values, [{"a": [1, None, "x"]}, None, [], "text"])


@check
def a_numeric_nan_is_kept_as_text(connect):
    with connect() as connection:
        equal(connection.execute("select amount, amount__text from silver.shop_kinds where id = 5").fetchone(), (None, "NaN"))


@check
def columns_are_described(connect):
    with connect() as connection:
        cursor = connection.execute("select id, big, double, amount, day, instant, note, flag, numbers from silver.shop_kinds limit 1")
        names = ["id", "big", "double", "amount", "day", "instant", "note", "flag", "numbers"]
        equal([c.name for c in cursor.description], names)
        kinds = [psycopg.adapters.types[c.type_code].name for c in cursor.description]
        equal(kinds, ["int4", "int8", "float8", "numeric", "date", "timestamptz", "text", "bool", "int4"])
        equal((cursor.description[3].precision, cursor.description[3].scale), (12, 2))


@check
def a_hundred_thousand_rows(connect):
    with connect() as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            rows = cursor.execute("select id, note from silver.shop_many order by id").fetchall()
            equal((len(rows), rows[0], rows[-1]), (100000, (1, "row 1"), (100000, "row 100000")))
            assert all(row[0] == i for i, row in enumerate(rows, 1)), "a row is missing or doubled"
            equal(cursor.rowcount, 100000)


@check
def rows_one_by_one(connect):
    with connect() as connection:
        cursor = connection.cursor()
        total = sum(row[0] for row in cursor.stream("select id from silver.shop_many"))
        equal(total, 100000 * 100001 // 2)
        portions = sum(row[0] for row in cursor.stream("select id from silver.shop_many where id <= %s", [1000], size=100))
        equal(portions, 1000 * 1001 // 2)


@check
def a_cursor_on_the_server_gives_its_rows_in_portions(connect):
    with connect() as connection:
        with connection.cursor(name="portions") as cursor:
            cursor.itersize = 3000
            cursor.execute("select id from silver.shop_many where id > %s order by id", [10])
            equal([column.name for column in cursor.description], ["id"])
            equal(cursor.fetchone(), (11,))
            equal([row[0] for row in cursor.fetchmany(3)], [12, 13, 14])
            # Other queries run while it is open, and other cursors.
            equal(connection.execute("select 1").fetchone(), (1,))
            with connection.cursor(name="Second", binary=True) as second:
                second.execute("select id, cast(id as numeric(10, 2)) as exact from silver.shop_many order by id desc")
                equal(second.fetchmany(2), [(100000, decimal.Decimal("100000.00")), (99999, decimal.Decimal("99999.00"))])
            rows = [row[0] for row in cursor]
            equal((len(rows), rows[0], rows[-1]), (99986, 15, 100000))
        # Closed, so the name is free again.
        with connection.cursor(name="portions") as cursor:
            equal(cursor.execute("select 7 as seven").fetchall(), [(7,)])


@check
def a_cursor_with_hold_outlives_its_transaction(connect):
    with connect(autocommit=True) as connection:
        with connection.cursor(name="held", withhold=True) as cursor:
            cursor.execute("select id from silver.shop_many order by id")
            equal(cursor.fetchone(), (1,))
            equal(connection.execute("select 2").fetchone(), (2,))
            equal([row[0] for row in cursor.fetchmany(2)], [2, 3])


@check
def cursors_by_hand(connect):
    with connect() as connection:
        connection.execute("declare c no scroll cursor for select id from silver.shop_many order by id")
        equal(connection.execute("fetch next from c").fetchall(), [(1,)])
        equal(connection.execute("move forward 5 in c").statusmessage, "MOVE 5")
        fetched = connection.execute("fetch 2 from c")
        equal((fetched.fetchall(), fetched.statusmessage), ([(7,), (8,)], "FETCH 2"))
        equal(connection.execute("move all in c").statusmessage, "MOVE 99992")
        equal(connection.execute("fetch all from c").fetchall(), [])
        equal(connection.execute("close c").statusmessage, "CLOSE CURSOR")
        connection.execute("declare c cursor for select 1")
        connection.commit()
        for statement, sqlstate in [
            ("fetch next from c", "34000"),
            ("close c", "34000"),
            ("declare d scroll cursor for select 1", "0A000"),
            ("declare d cursor for select id / 0 from silver.shop_many; fetch all from d", "22012"),
            ("declare d cursor for select 1; declare d cursor for select 2", "42P03"),
            ("declare d cursor for select 1; fetch prior from d", "0A000"),
            ("declare d cursor for select nonsense", "42703"),
        ]:
            try:
                connection.execute(statement)
                raise AssertionError(f"{statement} was taken")
            except psycopg.DatabaseError as error:
                equal((statement, error.sqlstate), (statement, sqlstate))
            connection.rollback()
    with connect(autocommit=True) as connection:
        try:
            connection.execute("declare c cursor for select 1")
            raise AssertionError("a cursor without a transaction")
        except psycopg.DatabaseError as error:
            equal(error.sqlstate, "25P01")


@check
def copy_sends_rows_in_every_format(connect):
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy("copy (select id, note, null::int as x from silver.shop_kinds where id in (1, 4) order by id) to stdout") as copy:
            equal(list(copy.rows()), [("1", 'Grüße, "quoted" \\ 100%', None), ("4", "line\nline", None)])
        with cursor.copy("copy (select id, note from silver.shop_kinds where id = 1) to stdout (format csv, header)") as copy:
            equal(b"".join(copy).decode(), 'id,note\n1,"Grüße, ""quoted"" \\ 100%"\n')
        with cursor.copy("copy silver.shop_kinds (id, amount, day, raw, numbers) to stdout (format binary)") as copy:
            copy.set_types(["int4", "numeric", "date", "bytea", "int4[]"])
            rows = sorted(copy.rows())
            equal(rows[0], (1, decimal.Decimal("12345.60"), dt.date(2026, 2, 28), b"\x00\xff\x10", [1, None, 3]))
            equal(len(rows), 5)
        with cursor.copy("copy silver.shop_many to stdout") as copy:
            equal(sum(1 for _ in copy.rows()), 100_000)


@check
def copy_takes_rows_in_every_format(connect):
    at = dt.datetime(2026, 2, 28, 21, 59, 59, 123456, UTC)
    row = (1, "tab\t, \"quote\"\n\\", decimal.Decimal("12.50"), at, b"\x00\xff", [1, None])
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("create schema if not exists copied")
        cursor.execute("create table copied.t (id int, note text, amount numeric(12,2), at timestamptz, raw bytea, numbers int[])")
        with cursor.copy("copy copied.t from stdin") as copy:
            copy.write_row(row)
            copy.write_row((2, None, None, None, None, None))
        with cursor.copy("copy copied.t from stdin (format binary)") as copy:
            copy.set_types(["int4", "text", "numeric", "timestamptz", "bytea", "int4[]"])
            copy.write_row((3, *row[1:]))
        with cursor.copy("copy copied.t (note, id) from stdin (format csv, header)") as copy:
            copy.write('note,id\n"a, ""b""\nc",4\n,5\n')
        rows = cursor.execute("select * from copied.t order by id").fetchall()
        equal(rows[:3], [row, (2, None, None, None, None, None), (3, *row[1:])])
        equal([r[:2] for r in rows[3:]], [(4, 'a, "b"\nc'), (5, None)])
        try:
            with cursor.copy("copy copied.t (id) from stdin") as copy:
                copy.write("6\nseven\n")
            raise AssertionError("a word was taken for a number")
        except psycopg.DatabaseError as error:
            assert "id" in str(error), error
        equal(cursor.execute("select count(*) from copied.t").fetchone(), (5,), "after a copy that failed")
    with connect() as connection:
        with connection.cursor().copy("copy copied.t (id) from stdin") as copy:
            for i in range(20_000):
                copy.write(f"{i}\n")
        equal(connection.execute("select count(*) from copied.t").fetchone(), (20_005,), "in its own transaction")
        connection.rollback()
        equal(connection.execute("select count(*) from copied.t").fetchone(), (5,), "after a rollback")
        connection.execute("drop schema copied cascade")


@check
def copy_is_refused_where_sql_only_reads(connect):
    with connect() as connection:
        for query in ("copy silver.shop_kinds from stdin", "copy silver.shop_kinds to '/tmp/x'"):
            try:
                with connection.cursor().copy(query) as copy:
                    copy.write("1\n")
            except psycopg.DatabaseError as error:
                assert error.sqlstate in ("25006", "0A000"), f"{query}: SQLSTATE {error.sqlstate}: {error}"
            else:
                raise AssertionError(f"{query} was taken")
            connection.rollback()
            equal(connection.execute("select 1").fetchone(), (1,), f"after {query}")


@check
def writes_are_refused(connect):
    with connect(autocommit=True) as connection:
        for query in (
            "insert into silver.shop_kinds (id) values (9)",
            "update silver.shop_kinds set note = 'x'",
            "delete from silver.shop_kinds",
            "truncate silver.shop_kinds",
            "create table gold.mine (id int)",
            "create table gold.mine as select 1 as id",
            "create view gold.mine as select 1 as id",
            "drop table silver.shop_kinds",
            "alter table silver.shop_kinds add column x int",
            "select 1 as id into gold.mine",
            "with gone as (delete from silver.shop_kinds returning *) select * from gone",
        ):
            for binary in (None, True):
                error = refused(connection, query, ("25006", "0A000"), binary=binary)
                assert "read" in str(error) or "not " in str(error), f"{query}: {error}"
        equal(connection.execute("select count(*) from silver.shop_kinds").fetchone(), (5,))


@check
def mistakes_have_postgresqls_codes(connect):
    cases = [
        ("selec 1", errors.SyntaxError),
        ("select * from silver.nowhere", errors.UndefinedTable),
        ("select nothing from silver.shop_kinds", errors.UndefinedColumn),
        ("select nofunction(1)", errors.UndefinedFunction),
        ("select 1 / 0", errors.DivisionByZero),
        ("select cast('x' as int)", errors.InvalidTextRepresentation),
        ("select id from silver.shop_kinds a, silver.shop_many b", errors.AmbiguousColumn),
        ("show nonsense", errors.UndefinedObject),
    ]
    with connect(autocommit=True) as connection:
        for query, kind in cases:
            for binary in (None, True):
                error = refused(connection, query, kind.sqlstate, binary=binary)
                assert "DataFusion" not in str(error), f"{query}: {error}"
        error = refused(connection, "select nothing\nfrom silver.shop_kinds", "42703")
        assert error.diag.statement_position == "8", f"the place is {error.diag.statement_position}"
        error = refused(connection, "select nott from silver.shop_kinds", "42703")
        assert "note" in (error.diag.message_hint or ""), f"the hint is {error.diag.message_hint}"
        # A value that the place does not take.
        refused(connection, "select id from silver.shop_kinds where id = %s::int", "22P02", ["x"])


@check
def a_running_query_is_cancelled(connect):
    with connect(autocommit=True) as connection, connect(autocommit=True) as other:
        caught = []

        def run():
            try:
                connection.execute(ENDLESS)
            except psycopg.Error as error:
                caught.append(error)

        for cancel in (connection.cancel, connection.cancel_safe):
            caught.clear()
            thread = threading.Thread(target=run)
            thread.start()
            while thread.is_alive() and other.execute(RUNNING).fetchone() == (0,):
                pass
            cancel()
            thread.join(60)
            assert not thread.is_alive(), "it still runs a minute after it was cancelled"
            assert len(caught) == 1 and caught[0].sqlstate == "57014", f"{caught}"
            assert isinstance(caught[0], errors.QueryCanceled), f"{caught[0]!r}"
        equal(connection.execute("select 1").fetchone(), (1,))


@check
def a_statement_has_a_timeout(connect):
    with connect(autocommit=True) as connection:
        connection.execute("set statement_timeout = '150ms'")
        error = refused(connection, ENDLESS, "57014")
        assert "statement timeout" in str(error), f"{error}"
        connection.execute("set statement_timeout = 0")
        equal(connection.execute("select count(*) from silver.shop_many").fetchone(), (100000,))
    with connect(autocommit=True, options="-c statement_timeout=150") as connection:
        equal(connection.execute("show statement_timeout").fetchone()[0].removesuffix("ms"), "150")
        refused(connection, ENDLESS, "57014")


@check
def transactions(connect):
    with connect() as connection:
        equal(connection.info.transaction_status, TransactionStatus.IDLE)
        with connection.transaction():
            equal(connection.execute("select 1").fetchone(), (1,))
            equal(connection.info.transaction_status, TransactionStatus.INTRANS)
        equal(connection.info.transaction_status, TransactionStatus.IDLE)
        refused(connection, "select nothing from silver.shop_kinds", "42703")
        equal(connection.info.transaction_status, TransactionStatus.INERROR)
        refused(connection, "select 1", "25P02")
        connection.rollback()
        equal(connection.execute("select 1").fetchone(), (1,))
        connection.commit()
        # A savepoint takes a mistake back; the transaction around it goes on.
        with connection.transaction():
            try:
                with connection.transaction():
                    connection.execute("select nothing from silver.shop_kinds")
            except errors.UndefinedColumn:
                pass
            equal(connection.execute("select 2").fetchone(), (2,))
    with connect(autocommit=True) as connection:
        for words in ("begin read only", "begin isolation level repeatable read", "start transaction"):
            connection.execute(words)
            equal(connection.execute("select 1").fetchone(), (1,))
            connection.execute("commit")
        equal(connection.info.transaction_status, TransactionStatus.IDLE)


@check
def prepared_statements_are_used_again(connect):
    with connect(autocommit=True) as connection:
        query = "select note from silver.shop_many where id = %s"
        for i in (1, 2, 3, 50000, 100000, 7):
            equal(connection.execute(query, [i], prepare=True).fetchone(), (f"row {i}",))
        # After some runs psycopg prepares by itself; more statements than it keeps are deallocated.
        connection.prepare_threshold, connection.prepared_max = 1, 3
        for i in range(20):
            equal(connection.execute(f"select %s + {i}", [i]).fetchone(), (2 * i,))
        with connection.cursor() as cursor:
            cursor.executemany("select note from silver.shop_many where id = %s", [[i] for i in (3, 5, 8)], returning=True)
            notes = [cursor.fetchone()]
            while cursor.nextset():
                notes.append(cursor.fetchone())
            equal(notes, [("row 3",), ("row 5",), ("row 8",)])


@check
def pipeline_mode(connect):
    with connect(autocommit=True) as connection:
        with connection.pipeline():
            cursors = [connection.execute("select note from silver.shop_many where id = %s", [i]) for i in range(1, 51)]
        equal([c.fetchone()[0] for c in cursors], [f"row {i}" for i in range(1, 51)])
        # What comes after a mistake is not run until the client says so; then all is well again.
        with connection.pipeline() as pipeline:
            before = connection.execute("select 1")
            wrong = connection.execute("select nothing from silver.shop_kinds where id = %s", [1])
            after = connection.execute("select 2")
            try:
                pipeline.sync()
                wrong.fetchone()
            except errors.UndefinedColumn:
                pass
            else:
                raise AssertionError("the mistake went unnoticed")
            equal(before.fetchone(), (1,))
            try:
                after.fetchone()
            except psycopg.Error:
                pass
            else:
                raise AssertionError("a statement after a mistake was run")
            pipeline.sync()
            equal(connection.execute("select 3").fetchone(), (3,))
        equal(connection.execute("select 4").fetchone(), (4,))


@check
def the_server_says_what_it_is(connect):
    with connect() as connection:
        info = connection.info
        assert info.server_version >= 130000, f"version {info.server_version}"
        equal((info.encoding, info.parameter_status("standard_conforming_strings")), ("utf-8", "on"))
        equal(info.timezone.utcoffset(dt.datetime(2026, 7, 1)), dt.timedelta(0))
        equal(connection.execute("show search_path").fetchone(), ("gold, silver",))


def main():
    port = int(sys.argv[1])

    def connect(**more):
        return psycopg.connect(host="127.0.0.1", port=port, user="analyst", dbname="lakebox", connect_timeout=10, **more)

    passed, failed = [], {}
    for function in CHECKS:
        try:
            function(connect)
            passed.append(function.__name__)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)
            line = next((f.lineno for f in reversed(place) if f.filename == __file__), 0)
            failed[function.__name__] = f"line {line}: {type(error).__name__}: {error}"
    json.dump({"passed": passed, "failed": failed}, sys.stdout, indent=1, ensure_ascii=False)
    print()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
