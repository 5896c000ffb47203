//! The clients alone, as somebody would write it who needs neither head nor record: what the benches of topics and
//! stores put beside wattline. Prints the seconds that the writing took; making the rows is not timed.
//!
//! usage: bare cassandra HOST:PORT KEYSPACE.TABLE ROWS.arrow BATCH IN_FLIGHT
//!        bare sqlite FILE.db TABLE ROWS.arrow KEYS
//!        bare kafka HOST:PORT TOPIC VALUES.txt HEADER

mod cassandra;
mod kafka;
mod sqlite;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use std::error::Error;
use std::fs::File;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A value of a row.
#[derive(Clone, PartialEq)]
enum Value {
    Nothing,
    Text(String),
    Whole(i64),
    Decimal(f64),
    Micros(i64),
    Day(i32),
}

fn main() -> Outcome<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let spent = match given[..] {
        ["cassandra", host, table, rows, size, in_flight] => {
            let load = (size.parse()?, in_flight.parse()?);
            cassandra::write(host, table, &batches(rows)?, load)?
        }
        ["sqlite", file, table, rows, keys] => {
            sqlite::upsert(file, table, &batches(rows)?, keys.parse()?)?
        }
        ["kafka", broker, topic, lines, header] => {
            kafka::produce(broker, topic, lines, header.parse()?)?
        }
        _ => return Err("see the head of benches/bare/main.rs for what to ask".into()),
    };
    println!("{}", spent.as_secs_f64());
    Ok(())
}

/// The rows of an Arrow file.
fn batches(path: &str) -> Outcome<Vec<RecordBatch>> {
    let reader = arrow_ipc::reader::FileReader::try_new(File::open(path)?, None)?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// The names of the columns.
fn names(batches: &[RecordBatch]) -> Vec<String> {
    let fields = batches.first().map(|b| b.schema().fields().clone());
    let fields = fields.iter().flatten();
    fields.map(|f| f.name().clone()).collect()
}

/// The rows, ready to be bound.
fn rows(batches: &[RecordBatch]) -> Outcome<Vec<Vec<Value>>> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(values);
        let columns = columns.collect::<Outcome<Vec<_>>>()?;
        let row = |i: usize| columns.iter().map(|c| c[i].clone()).collect();
        rows.extend((0..batch.num_rows()).map(row));
    }
    Ok(rows)
}

fn values(column: &ArrayRef) -> Outcome<Vec<Value>> {
    let value = |i: usize| match column.data_type() {
        _ if column.is_null(i) => Value::Nothing,
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(i).to_owned()),
        DataType::Int64 => Value::Whole(column.as_primitive::<Int64Type>().value(i)),
        DataType::Boolean => Value::Whole(column.as_boolean().value(i).into()),
        DataType::Date32 => Value::Day(column.as_primitive::<Date32Type>().value(i)),
        DataType::Timestamp(..) => {
            Value::Micros(column.as_primitive::<TimestampMicrosecondType>().value(i))
        }
        _ => Value::Decimal(column.as_primitive::<Float64Type>().value(i)),
    };
    Ok((0..column.len()).map(value).collect())
}
