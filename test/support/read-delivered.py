"""Reads files of a stream from an S3 server with pyarrow and fastavro, and says on standard output what is in them.

Usage: read-delivered.py ENDPOINT ACCESS_KEY_ID SECRET_ACCESS_KEY BUCKET KEY...

One line of JSON for each row of each file, in their order. For JSON lines {"key", "line"}, as it stands in the file; for
Avro {"key", "record"}, times as milliseconds; for Parquet and CSV {"key", "cells": [[name, type, text], ...]}, nulls left out.
"""

import gzip
import io
import json
import sys

import fastavro
import pyarrow
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet


def milliseconds(moment):
    return round(moment.timestamp() * 1000)


def text_of(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return value if isinstance(value, str) else str(milliseconds(value))


def cells_of(table):
    types = [str(field.type) for field in table.schema]
    for batch in table.to_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns):
            yield [
                [name, kind, text_of(value)]
                for name, kind, value in zip(table.schema.names, types, row)
                if value is not None
            ]


def csv_table(data):
    # Every column as text; an empty cell is null, and an empty string is one in quotes.
    unpacked = gzip.decompress(data)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    # Pieces end between records; the longest record has to fit into one.
    read = pyarrow.csv.ReadOptions(block_size=len(unpacked) + 1)
    names = pyarrow.csv.open_csv(io.BytesIO(unpacked), read_options=read, parse_options=parse).schema.names
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: pyarrow.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pyarrow.csv.read_csv(
        io.BytesIO(unpacked), read_options=read, parse_options=parse, convert_options=convert
    )


def lines_of(data):
    for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="\n"):
        json.loads(line, parse_float=str, parse_int=str)
        yield line.removesuffix("\n")


def rows_of(key, data):
    if key.endswith(".parquet"):
        for cells in cells_of(pyarrow.parquet.read_table(io.BytesIO(data))):
            yield {"cells": cells}
    elif key.endswith(".csv.gz"):
        for cells in cells_of(csv_table(data)):
            yield {"cells": cells}
    elif key.endswith(".avro"):
        for record in fastavro.reader(io.BytesIO(data)):
            times = {name: milliseconds(record[name]) for name in ("keen_timestamp", "keen_created_at")}
            yield {"record": {**record, **times}}
    else:
        plain = gzip.decompress(data) if key.endswith(".gz") else unzstd(data)
        for line in lines_of(plain):
            yield {"line": line}


def unzstd(data):
    with pyarrow.input_stream(io.BytesIO(data), compression="zstd") as stream:
        return stream.read()


def main():
    endpoint, access_key, secret_key, bucket, *keys = sys.argv[1:]
    server = pyarrow.fs.S3FileSystem(
        access_key=access_key, secret_key=secret_key, endpoint_override=endpoint, scheme="http", region="us-east-1"
    )
    for key in keys:
        with server.open_input_stream(f"{bucket}/{key}", compression=None) as stream:
            data = stream.read()
        for row in rows_of(key, data):
            print(json.dumps({"key": key, **row}))


main()
