//! Rows such as years of data taking leave, made by the server itself.
//!
//! Four sites take a run every five minutes each, for ten years. Most runs are stored; a
//! few in a thousand are not, and most of these are old. One kind of source was used
//! only in one year, long ago: whoever looks for it must not read all later runs.

use std::io::Write as _;

use anyhow::Context as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};

/// Rows of one statement: bounds what the server has to be able to undo.
const ROWS: u64 = 1_000_000;

/// Seconds from a run to the next one, of any site.
pub(super) const SPACING_SECS: u64 = 315;

/// When the first began.
pub(super) const EPOCH: &str = "2016-01-01 00:00:00";

/// The sites, in turns.
pub(super) const SITES: [&str; 4] = ["LNGS", "LNF", "MAN", "ISS"];

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Years {
    /// Runs.
    pub(super) runs: u64,
    /// Files of each.
    pub(super) files: u64,
    /// Steps of the history of each.
    pub(super) steps: u64,
}

/// A table as it stands, by the server's estimate.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// Its rows.
    pub(super) rows: u64,
    /// Bytes of data and indexes.
    pub(super) bytes: u64,
}

impl Years {
    /// The runs of the year with the rare source: a band of one tenth, in the past.
    pub(super) fn band(&self) -> (u64, u64) {
        (self.runs / 5, self.runs / 5 + self.runs / 10)
    }
}

/// Fills the tables; says what is in them then.
pub(super) async fn fill(years: &Years, url: &str) -> anyhow::Result<Vec<Table>> {
    let mut conn = Conn::new(Opts::from_url(url)?).await?;
    conn.query_drop("SET unique_checks=0,foreign_key_checks=0,time_zone='+00:00'")
        .await?;
    let sites = SITES.map(|site| format!("('{site}','UTC','')")).join(",");
    conn.query_drop(format!(
        "INSERT INTO site (name,time_zone,description) VALUES {sites}"
    ))
    .await?;
    conn.query_drop(months()).await?;
    let (first, last) = years.band();
    let names = SITES.map(|site| format!("'{site}'")).join(",");
    let taken = format!("TIMESTAMP'{EPOCH}'+INTERVAL seq*{SPACING_SECS} SECOND");
    let runs = format!(
        "INSERT INTO run (id,site,number,version,state,revision,run_type,started_at,ended_at,\
         closed_by,events,files,sealed_files,bytes,manifest_key,stored_at) \
         SELECT seq,ELT(1+seq MOD 4,{names}),seq DIV 4+1,1,\
         CASE WHEN seq MOD 5000=0 AND seq<{}/2 THEN 'quarantined' WHEN seq MOD 7919=0 THEN 'incomplete' \
         ELSE 'stored' END,7,\
         CASE WHEN seq DIV 4 MOD 20=0 THEN 'pedestal' WHEN seq BETWEEN {first} AND {last} THEN 'source' \
         WHEN seq MOD 9973=0 THEN 'laser' ELSE 'physics' END,\
         {taken},{taken}+INTERVAL 300 SECOND,'logger',400,{files},{files},4000000000,\
         CONCAT('raw/x/',LPAD(seq,8,'0'),'/v1/manifest.r1.json'),{taken}+INTERVAL 302 SECOND",
        years.runs,
        files = years.files,
    );
    table(&mut conn, "run", &runs, years.runs).await?;
    let each = [
        "'gem_voltage',NULL,400+seq MOD 60,NULL,'V'".to_owned(),
        "'pedestal',NULL,NULL,seq DIV 4 MOD 20=0,NULL".to_owned(),
        "'exposure',NULL,0.05*(1+seq MOD 97),NULL,'s'".to_owned(),
        format!(
            "'source',IF(seq BETWEEN {first} AND {last},'AmBe',IF(seq MOD 3=0,'Fe55','none')),NULL,NULL,NULL"
        ),
        "'description',CONCAT('shift note ',seq),NULL,NULL,NULL".to_owned(),
    ];
    for values in each {
        let rows = format!(
            "INSERT INTO run_attribute (run_id,name,text_value,number_value,bool_value,unit,taken_at) \
             SELECT seq,{values},{taken}"
        );
        table(&mut conn, "run_attribute", &rows, years.runs).await?;
    }
    let count = years.files;
    let files = format!(
        "INSERT INTO file (id,run_id,name,state,announced_size,size,crc64nvme,adler32,crc32c,sealed_at,stored_at) \
         SELECT seq,(seq-1) DIV {count}+1,CONCAT('run',LPAD((seq-1) DIV {count}+1,7,'0'),'_',seq MOD {count},'.mid.gz'),\
         'stored',200000000,200000000,LPAD(HEX(seq*2654435761),16,'0'),LPAD(HEX(seq),8,'0'),LPAD(HEX(seq+7),8,'0'),\
         '2026-01-01','2026-01-01'"
    );
    table(&mut conn, "file", &files, years.runs * count).await?;
    let count = years.steps;
    let steps = format!(
        "INSERT INTO transition (id,at,run_id,entity,entity_id,from_state,to_state,who,why,revision) \
         SELECT seq,TIMESTAMP'{EPOCH}'+INTERVAL ((seq-1) DIV {count}+1)*{SPACING_SECS} SECOND,\
         (seq-1) DIV {count}+1,'file',seq,'sealed','stored','m2c@daq01','stored and checked',seq MOD {count}"
    );
    table(&mut conn, "transition", &steps, years.runs * count).await?;
    conn.query_drop("ANALYZE TABLE run,run_attribute,file")
        .await?;
    let tables = conn
        .query_map(
            "SELECT table_name,table_rows,data_length+index_length FROM information_schema.tables \
             WHERE table_schema=DATABASE() AND table_name IN ('run','run_attribute','file','transition') \
             ORDER BY table_name",
            |(name, rows, bytes)| Table { name, rows, bytes },
        )
        .await?;
    conn.disconnect().await?;
    Ok(tables)
}

/// `insert` for each number up to `rows`.
async fn table(conn: &mut Conn, name: &str, insert: &str, rows: u64) -> anyhow::Result<()> {
    let mut first = 1;
    while first <= rows {
        let last = rows.min(first + ROWS - 1);
        conn.query_drop(format!("{insert} FROM seq_{first}_to_{last}"))
            .await
            .with_context(|| format!("fill {name} from {first} to {last}"))?;
        writeln!(std::io::stderr(), "{name}: {last} of {rows}")?;
        first = last + 1;
    }
    Ok(())
}

/// The history has a partition for each month that it tells of, as if each had come in
/// its time.
fn months() -> String {
    let ends = (2016..=2027).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let parts = ends.map(|(year, month)| {
        let (next_year, next) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        format!("PARTITION p{year}{month:02} VALUES LESS THAN ('{next_year}-{next:02}-01')")
    });
    format!(
        "ALTER TABLE transition PARTITION BY RANGE COLUMNS (at) \
         ({},PARTITION later VALUES LESS THAN (MAXVALUE))",
        parts.collect::<Vec<_>>().join(",")
    )
}
