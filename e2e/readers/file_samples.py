"""Files that are hard to read, and what DuckDB reads in them.

usage: file_samples.py FOLDER

Writes the files into the folder and prints one JSON object: for each file or pattern its column names and its rows, every value as text.
"""

import gzip
import json
import os
import sys

import duckdb

SAMPLES = {
    "plain.csv": "id,name,amount,day\n1,Ann,10.50,2026-01-31\n2,Bob,-0.25,2026-02-28\n",
    "semicolons.csv": "id;name;note\n1;Ann;a,b\n2;Bob;c,d\n",
    "tabs.tsv": "id\tname\n1\tAnn Lee\n2\tBob\n",
    "pipes.csv": "id|name\n1|a;b,c\n2|d\n",
    "quotes.csv": 'id,text\n1,"a ""quoted"" word"\n2,"comma, here"\n3,"line\nbreak"\n4,plain\n',
    "windows.csv": '\ufeffid,text\r\n1,"a\r\nb"\r\n2,c\r\n',
    "unicode.csv": "id,größe,名前\n1,é,山田\n2,ß,\U0001f600\n",
    "big.csv": "n,m\n9223372036854775807,1\n-9223372036854775808,2\n",
    "nulls.csv": "a,b,c\n1,,x\n,2,\n3,4,y\n",
    "times.csv": "at,zoned\n2026-01-01 10:00:00,2026-01-01 10:00:00+00\n2026-01-01 23:59:59.5,2026-06-01 12:00:00+00\n",
    "floats.csv": "x\n1e5\n-2.5e-3\n7\n",
    "bools.csv": "id,ok\n1,true\n2,false\n",
    "noheader.csv": "1,2.5\n3,4.5\n",
    "names_only_text.csv": "first,last\nAnn,Lee\nBob,Ray\n",
    "blank_lines.csv": "a,b\n1,2\n\n3,4\n\n",
    "one_column.csv": "word\nalpha\nbeta\n",
    "lines.ndjson": '{"id":1,"name":"Ann","tags":["a","b"]}\n{"id":2,"name":null,"more":{"x":1}}\n',
    "array.json": '[{"id": 1, "s": "a\\u00e9\\n"},\n {"id": 2, "s": "\\ud83d\\ude00"}]',
    "times.json": '{"at":"2026-01-01 10:00:00","day":"2026-01-31"}\n{"at":"2026-01-02 10:00:00","day":null}\n',
    "mixed_order.ndjson": '{"a":1,"b":2}\n{"b":3,"a":4}\n',
    "big.ndjson": '{"n":9223372036854775807}\n{"n":-1}\n',
}


def main(folder):
    for name, text in SAMPLES.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(text.encode())
    with gzip.open(os.path.join(folder, "packed.csv.gz"), "wb") as file:
        file.write(SAMPLES["quotes.csv"].encode())
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(
        "create table t as select i as id, i % 3 as part, 'p' || (i % 2) as city, i::decimal(12,2) / 4 as amount, date '2026-01-01' + i::int as day, "
        "case when i % 5 = 0 then null else 'n' || i end as note, timestamp '2026-01-01' + to_seconds(i) as at, [i, i + 1] as list, {'x': i} as doc from range(1000) r(i)"
    )
    connection.execute(f"copy t to '{folder}/hive' (format parquet, partition_by (part, city))")
    connection.execute(f"copy (select * exclude (list, doc) from t) to '{folder}/hivecsv' (format csv, header, partition_by (part))")
    connection.execute(f"copy t to '{folder}/zstd.parquet' (format parquet, compression zstd, row_group_size 100)")
    read = {name: name for name in SAMPLES}
    read["packed.csv.gz"] = "packed.csv.gz"
    read["hive"] = "hive/**/*.parquet"
    read["hivecsv"] = "hivecsv/**/*.csv"
    read["zstd.parquet"] = "zstd.parquet"
    out = {}
    for name, path in read.items():
        function = "read_parquet" if "parquet" in path else "read_json" if "json" in path else "read_csv"
        more = ", hive_partitioning = true" if "hive" in name else ""
        table = f"{function}('{folder}/{path}'{more})"
        columns = [row[0] for row in connection.execute(f"describe select * from {table}").fetchall()]
        skip = [c for c in columns if c in ("list", "doc", "tags", "more")]
        wanted = ", ".join(f'"{c}"' for c in columns if c not in skip)
        order = " order by id" if "id" in columns else ""
        rows = connection.execute(f"select columns(*)::varchar from (select {wanted} from {table}{order})").fetchall()
        out[name] = {"path": path, "columns": [c for c in columns if c not in skip], "rows": rows}
    print(json.dumps(out))


main(sys.argv[1])
