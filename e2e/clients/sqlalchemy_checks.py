"""What SQLAlchemy does with a PostgreSQL server, done with lakebox's PostgreSQL port, over both of its usual drivers.

usage: sqlalchemy_checks.py PORT

Needs silver.shop_kinds and silver.shop_many as e2e/tests/clients.rs makes them.
"""

import datetime as dt
import decimal
import sys

import sqlalchemy as sa
from checks import check, equal, run
from sqlalchemy.dialects import postgresql as pg


@check
def it_connects_and_knows_the_server(engine):
    with engine.connect() as c:
        equal(c.scalar(sa.text("select 1")), 1)
    equal(engine.dialect.server_version_info[0], 16)
    equal(sa.inspect(engine).default_schema_name, "gold")


@check
def schemas_tables_and_views_are_listed(engine):
    inspector = sa.inspect(engine)
    schemas = inspector.get_schema_names()
    assert {"bronze", "silver", "gold", "system", "information_schema"} <= set(schemas), schemas
    equal(sorted(inspector.get_table_names("silver")), ["shop_kinds", "shop_many"])
    equal(inspector.get_view_names("silver"), [])
    assert "tables" in inspector.get_view_names("system")
    assert inspector.has_table("shop_kinds", "silver") and not inspector.has_table("nothing", "silver")


@check
def columns_have_their_types(engine):
    columns = {c["name"]: c for c in sa.inspect(engine).get_columns("shop_kinds", "silver")}
    for name, wanted in {
        "id": sa.INTEGER,
        "flag": sa.BOOLEAN,
        "big": sa.BIGINT,
        "single": sa.REAL,
        "double": sa.DOUBLE_PRECISION,
        "amount": sa.NUMERIC,
        "day": sa.DATE,
        "note": sa.TEXT,
        "raw": pg.BYTEA,
    }.items():
        assert isinstance(columns[name]["type"], wanted), (name, columns[name]["type"])
    equal((columns["amount"]["type"].precision, columns["amount"]["type"].scale), (12, 2))
    assert columns["instant"]["type"].timezone and not columns["moment"]["type"].timezone
    assert isinstance(columns["numbers"]["type"], pg.ARRAY) and isinstance(columns["numbers"]["type"].item_type, sa.INTEGER)
    equal((columns["id"]["nullable"], columns["note"]["nullable"]), (False, True))
    equal(columns["id"]["default"], None)


@check
def keys_indexes_and_comments_are_told(engine):
    inspector = sa.inspect(engine)
    key = inspector.get_pk_constraint("shop_kinds", "silver")
    equal((key["constrained_columns"], key["name"]), (["id"], "shop_kinds_pkey"))
    equal(inspector.get_foreign_keys("shop_kinds", "silver"), [])
    equal([i for i in inspector.get_indexes("shop_kinds", "silver") if not i.get("duplicates_constraint")], [])
    equal(inspector.get_unique_constraints("shop_kinds", "silver"), [])
    equal(inspector.get_check_constraints("shop_kinds", "silver"), [])
    equal(inspector.get_table_comment("shop_kinds", "silver"), {"text": None})
    equal(inspector.get_enums("silver"), [])
    equal(inspector.get_sequence_names("silver"), [])


@check
def many_tables_are_reflected_at_once(engine):
    metadata = sa.MetaData()
    metadata.reflect(engine, schema="silver")
    equal(sorted(metadata.tables), ["silver.shop_kinds", "silver.shop_many"])
    equal([c.name for c in metadata.tables["silver.shop_many"].primary_key], ["id"])


@check
def core_queries_take_parameters(engine):
    kinds = sa.Table("shop_kinds", sa.MetaData(), schema="silver", autoload_with=engine)
    query = sa.select(kinds.c.id, kinds.c.amount, kinds.c.day, kinds.c.numbers).where(
        kinds.c.day >= sa.bindparam("since"), kinds.c.id.in_([1, 3, 4])
    )
    with engine.connect() as c:
        rows = c.execute(query.order_by(kinds.c.id), {"since": dt.date(2026, 1, 1)}).all()
        equal(
            [tuple(r) for r in rows],
            [
                (1, decimal.Decimal("12345.60"), dt.date(2026, 2, 28), [1, None, 3]),
                (4, decimal.Decimal("9999999999.99"), dt.date(9999, 12, 31), [2147483647]),
            ],
        )
        total = sa.select(sa.func.count(), sa.func.sum(kinds.c.id)).where(kinds.c.note.like("%ü%"))
        equal(tuple(c.execute(total).one()), (1, 1))
        equal(c.scalar(sa.select(sa.literal(decimal.Decimal("1.50")) + sa.literal(decimal.Decimal("2.25")))), decimal.Decimal("3.75"))


@check
def tables_of_ones_own_are_made_filled_and_dropped(engine):
    schema = f"sa_{engine.driver}"
    metadata = sa.MetaData(schema=schema)
    notes = sa.Table(
        "notes", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("note", sa.Text), sa.Column("at", sa.DateTime(timezone=True))
    )
    at = dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.timezone.utc)
    with engine.begin() as c:
        c.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
        metadata.create_all(c)
        c.execute(sa.insert(notes), [{"id": 1, "note": "one", "at": at}, {"id": 2, "note": None, "at": None}])
        equal(c.scalar(sa.select(sa.func.count()).select_from(notes)), 2, "in its own transaction")
    with engine.connect() as c:
        equal([tuple(r) for r in c.execute(sa.select(notes).order_by(notes.c.id))], [(1, "one", at), (2, None, None)])
    equal(sa.inspect(engine).get_pk_constraint("notes", schema)["constrained_columns"], ["id"])
    with engine.connect() as c:
        transaction = c.begin()
        metadata.drop_all(c)
        transaction.rollback()
        equal(c.scalar(sa.select(sa.func.count()).select_from(notes)), 2, "after the rollback of a drop")
    with engine.begin() as c:
        metadata.drop_all(c)
        c.execute(sa.schema.DropSchema(schema))
    assert schema not in sa.inspect(engine).get_schema_names()


if __name__ == "__main__":
    port, driver = sys.argv[1:]
    run(sa.create_engine(f"postgresql+{driver}://analyst@127.0.0.1:{port}/lakebox"))
