//! Where a run book is read from: a file, or a table of somebody else's database, which
//! is only read.

use std::path::Path;

use anyhow::Context as _;
use aquifer_runbook::{Columns, RunBook};
use aquifer_runtime::config::Secret;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::cli::ImportRunlogArgs;
use crate::failure::Hinted;

/// Largest book that is read, in bytes: a hundred times what ten years of runs take.
const LARGEST: u64 = 2 << 30;

/// Reads a book from a file, with what its columns mean.
pub(in crate::commands) fn read_book(
    path: &Path,
    columns: Option<&Path>,
) -> anyhow::Result<(RunBook, Columns)> {
    let columns = self::columns(columns)?;
    Ok((file(path, &columns)?, columns))
}

/// Reads the book, with what its columns mean.
pub(super) async fn read(args: &ImportRunlogArgs) -> anyhow::Result<(RunBook, Columns)> {
    let columns = columns(args.columns.as_deref())?;
    let book = if args.source.starts_with("mysql:") {
        let password = args.password.as_deref().map(secret).transpose()?;
        table(&args.source, &args.table, password.as_ref(), &columns).await
    } else {
        file(Path::new(&args.source), &columns)
    };
    Ok((book?, columns))
}

/// A secret that does not stand on the command line itself, where everybody on the machine
/// sees it.
fn secret(written: &str) -> anyhow::Result<Secret> {
    if !written.starts_with("env:") && !written.starts_with("file:") {
        // Not what was written, which is the password.
        let what = "--password does not name where the password stands";
        let hint = "write env:NAME or file:PATH: a command line is seen by all";
        return Err(Hinted::usage(what, hint).into());
    }
    let deserializer: StrDeserializer<'_, ValueError> = written.into_deserializer();
    Ok(Secret::deserialize(deserializer)?)
}

fn columns(file: Option<&Path>) -> anyhow::Result<Columns> {
    let Some(path) = file else {
        return Ok(Columns::default());
    };
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(shown)?;
    Columns::set(&text).with_context(shown)
}

fn file(path: &Path, columns: &Columns) -> anyhow::Result<RunBook> {
    let shown = || path.display().to_string();
    let size = std::fs::metadata(path).with_context(shown)?.len();
    if size > LARGEST {
        let what = format!("{} has {size} bytes, more than {LARGEST}", path.display());
        return Err(Hinted::new(what, "import it in parts").into());
    }
    let bytes = std::fs::read(path).with_context(shown)?;
    // A byte that is no UTF-8 in a shifter's comment does not make the book unreadable.
    let text = String::from_utf8_lossy(&bytes);
    RunBook::parse(&text, columns).with_context(shown)
}

async fn table(
    url: &str,
    table: &str,
    password: Option<&Secret>,
    columns: &Columns,
) -> anyhow::Result<RunBook> {
    // Not the error itself, which may show the URL.
    let opts = Opts::from_url(url).map_err(|_| {
        Hinted::usage(
            "the URL of the run book's database cannot be read",
            "write mysql://USER@HOST:PORT/DATABASE",
        )
    })?;
    if opts.pass().is_some() {
        let what = "a password in a URL is seen by everybody on this machine";
        let hint = "leave it out, and name where it stands: --password env:NAME or file:PATH";
        return Err(Hinted::usage(what, hint).into());
    }
    let place = format!(
        "table {table} of {} at {}:{}",
        opts.db_name().unwrap_or("no database"),
        opts.ip_or_hostname(),
        opts.tcp_port()
    );
    let opts = OptsBuilder::from_opts(opts)
        .prefer_socket(false)
        .pass(password.map(Secret::reveal));
    let (head, rows) = rows(opts, table).await.with_context(|| place.clone())?;
    RunBook::of_table(&head, rows, columns).context(place)
}

/// Names of the columns, and all rows as text, as of one moment.
async fn rows(
    opts: OptsBuilder,
    table: &str,
) -> Result<(Vec<String>, Vec<Vec<String>>), mysql_async::Error> {
    let mut conn = Conn::new(opts).await?;
    // As text: times then come as they were written, whatever they mean.
    let mut result = conn.query_iter(format!("SELECT * FROM `{table}`")).await?;
    let names = result.columns_ref().iter();
    let head = names.map(|column| column.name_str().into_owned()).collect();
    let rows: Vec<Row> = result.collect().await?;
    drop(result);
    conn.disconnect().await?;
    let rows = rows.into_iter().map(|row| {
        let values = row.unwrap().into_iter();
        values.map(text).collect()
    });
    Ok((head, rows.collect()))
}

fn text(value: Value) -> String {
    match value {
        Value::NULL => String::new(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    }
}
