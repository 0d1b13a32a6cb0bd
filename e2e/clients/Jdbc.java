import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

/**
 * What a JDBC program does with a PostgreSQL server, done with lakebox's PostgreSQL port.
 *
 * usage: java -cp postgresql.jar Jdbc.java PORT. Needs silver.shop_kinds and silver.shop_many as e2e/tests/clients.rs makes them. Prints a
 * line for each check and fails with the first.
 */
class Jdbc {
    static int passed = 0;

    static void equal(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) throw new AssertionError(what + ": " + got + " instead of " + wanted);
        passed++;
        System.out.println("ok " + what);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> out = new ArrayList<>();
        while (rows.next()) out.add(rows.getString(name));
        return out;
    }

    public static void main(String[] args) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/lakebox?user=analyst&prepareThreshold=1&binaryTransfer=true";
        try (Connection c = DriverManager.getConnection(url)) {
            metadata(c.getMetaData());
            values(c);
            cursors(c);
            own(c);
            cancelled(c);
        }
        System.out.println("passed " + passed);
    }

    static void metadata(DatabaseMetaData m) throws SQLException {
        equal(m.getDatabaseMajorVersion(), 16, "major version");
        List<String> schemas = column(m.getSchemas(), "TABLE_SCHEM");
        equal(schemas.containsAll(List.of("bronze", "silver", "gold", "system")), true, "schemas " + schemas);
        equal(column(m.getCatalogs(), "TABLE_CAT"), List.of("lakebox"), "catalogs");
        equal(column(m.getTables(null, "silver", "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("shop_kinds", "shop_many"), "tables");
        equal(column(m.getTables(null, "system", "tables", new String[] {"VIEW"}), "TABLE_NAME"), List.of("tables"), "views");
        equal(column(m.getColumns(null, "silver", "shop_many", "%"), "COLUMN_NAME"), List.of("id", "note"), "columns");
        try (ResultSet amount = m.getColumns(null, "silver", "shop_kinds", "amount")) {
            equal(amount.next(), true, "a column");
            equal(amount.getInt("DATA_TYPE"), Types.NUMERIC, "type of a column");
            equal(amount.getInt("COLUMN_SIZE") + "," + amount.getInt("DECIMAL_DIGITS"), "12,2", "precision and scale");
        }
        equal(column(m.getPrimaryKeys(null, "silver", "shop_kinds"), "COLUMN_NAME"), List.of("id"), "primary key");
        equal(column(m.getImportedKeys(null, "silver", "shop_kinds"), "FKTABLE_NAME"), List.of(), "imported keys");
        equal(column(m.getIndexInfo(null, "silver", "shop_kinds", false, false), "COLUMN_NAME"), List.of("id"), "indexes");
        equal(column(m.getTableTypes(), "TABLE_TYPE").contains("TABLE"), true, "table types");
        equal(column(m.getTypeInfo(), "TYPE_NAME").contains("int8"), true, "types");
    }

    static void values(Connection c) throws SQLException {
        String sql = "select id, flag, small, big, single, double, amount, day, moment, instant, note, raw, numbers, words, uid from silver.shop_kinds where id = ? and amount = ?";
        try (PreparedStatement s = c.prepareStatement(sql)) {
            // The first time values come as text, from then on in binary form.
            for (int round = 0; round < 3; round++) {
                s.setInt(1, 1);
                s.setBigDecimal(2, new BigDecimal("12345.60"));
                try (ResultSet r = s.executeQuery()) {
                    equal(r.next(), true, "a row, round " + round);
                    equal(r.getInt("id") + " " + r.getBoolean("flag") + " " + r.getShort("small"), "1 true -7", "whole numbers");
                    equal(r.getLong("big"), 9007199254740993L, "bigint");
                    equal(r.getFloat("single") + " " + r.getDouble("double"), "1.5 0.1", "floats");
                    equal(r.getBigDecimal("amount"), new BigDecimal("12345.60"), "numeric");
                    equal(r.getDate("day").toString(), "2026-02-28", "date");
                    equal(r.getObject("moment", java.time.LocalDateTime.class).toString(), "2026-02-28T23:59:59.123456", "timestamp");
                    equal(r.getObject("instant", java.time.OffsetDateTime.class).toInstant().toString(), "2026-02-28T21:59:59.123456Z", "timestamptz");
                    equal(r.getString("note"), "Grüße, \"quoted\" \\ 100%", "text");
                    equal(Arrays.toString(r.getBytes("raw")), "[0, -1, 16]", "bytea");
                    equal(Arrays.toString((Object[]) r.getArray("numbers").getArray()), "[1, null, 3]", "integer[]");
                    equal(Arrays.toString((Object[]) r.getArray("words").getArray()), "[a, b,c, null, NULL]", "text[]");
                    equal(r.getMetaData().getColumnTypeName(7), "numeric", "type name");
                }
            }
        }
        try (PreparedStatement s = c.prepareStatement("select ? + 1 as next, ?::text as said")) {
            s.setBigDecimal(1, new BigDecimal("1.25"));
            s.setString(2, "hello");
            try (ResultSet r = s.executeQuery()) {
                r.next();
                equal(r.getBigDecimal("next").stripTrailingZeros(), new BigDecimal("2.25"), "a numeric parameter stays numeric");
                equal(r.getString("said"), "hello", "a text parameter");
            }
        }
    }

    static void cursors(Connection c) throws SQLException {
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(1000);
            try (ResultSet r = s.executeQuery("select id from silver.shop_many order by id")) {
                long count = 0, sum = 0;
                while (r.next()) {
                    count++;
                    sum += r.getLong(1);
                }
                equal(count + " " + sum, "100000 5000050000", "rows through a cursor");
            }
        }
        c.commit();
        c.setAutoCommit(true);
    }

    static void own(Connection c) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute("create schema jdbc");
            s.execute("create table jdbc.numbers (n bigint primary key, t text)");
        }
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("insert into jdbc.numbers (n, t) values (?, ?)")) {
            for (int i = 1; i <= 3; i++) {
                s.setLong(1, i);
                s.setString(2, "n" + i);
                equal(s.executeUpdate(), 1, "a row is written");
            }
        }
        c.rollback();
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select count(*) from jdbc.numbers")) {
            r.next();
            equal(r.getInt(1), 0, "a rollback takes rows back");
        }
        try (Statement s = c.createStatement()) {
            equal(s.executeUpdate("insert into jdbc.numbers select id, note from silver.shop_many where id <= 10"), 10, "rows from a query");
        }
        c.commit();
        c.setAutoCommit(true);
        equal(column(c.getMetaData().getPrimaryKeys(null, "jdbc", "numbers"), "COLUMN_NAME"), List.of("n"), "key of a table of one's own");
        try (Statement s = c.createStatement()) {
            s.execute("drop schema jdbc cascade");
        }
    }

    static void cancelled(Connection c) throws Exception {
        Statement s = c.createStatement();
        Timer timer = new Timer(true);
        timer.schedule(new TimerTask() {
            public void run() {
                try {
                    s.cancel();
                } catch (SQLException e) {
                    throw new RuntimeException(e);
                }
            }
        }, 700);
        try {
            // Takes days.
            s.executeQuery("select count(*) from generate_series(1, 1000000000000) as a where a.value + a.value = -1");
            throw new AssertionError("it was not cancelled");
        } catch (SQLException e) {
            equal(e.getSQLState(), "57014", "a cancelled query");
        }
        s.setQueryTimeout(1);
        try {
            s.executeQuery("select count(*) from generate_series(1, 1000000000000) as a where a.value + a.value = -1");
            throw new AssertionError("it took all the time it wanted");
        } catch (SQLException e) {
            equal(e.getSQLState(), "57014", "a query out of time");
        }
        try (ResultSet r = s.executeQuery("select 1")) {
            r.next();
            equal(r.getInt(1), 1, "the connection goes on");
        }
    }
}
