//! The connection to the catalogue: its pool, its sessions, its transactions.
//!
//! Every session is UTC, strict and READ COMMITTED. A transaction that lost against
//! another one, or whose connection broke, is run again from its beginning, a bounded
//! number of times; that is right even when its COMMIT had succeeded, because every
//! transaction changes nothing the second time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aquifer_schemas::RunId;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{
    Conn, IsolationLevel, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, Row,
    Transaction, TxOpts,
};
use uuid::Uuid;

use crate::announce::Mail;
use crate::config::CatalogueConfig;
use crate::draft::Draft;
use crate::error::CatalogueError;
use crate::load::lock_run;
use crate::save::save;
use crate::sql::Columns;

/// Most times a transaction is run.
const MOST_ATTEMPTS: u32 = 12;

/// Longest pause before a transaction is run again.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Statements cached by each connection: more than this crate has, inserts in all their
/// chunk sizes included.
const CACHED_STATEMENTS: usize = 192;

/// What makes a session ours, whatever the server's defaults are.
const SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION time_zone='+00:00',innodb_lock_wait_timeout=10,\
     sql_mode='STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION,\
     ERROR_FOR_DIVISION_BY_ZERO'",
];

/// The catalogue of runs. A clone shares the connections.
#[derive(Clone)]
pub struct Catalogue {
    pool: Pool,
    config: Arc<CatalogueConfig>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Catalogue {
    /// Prepares to connect. The server is first spoken to by the first query, so that a
    /// service starts while the server is away.
    #[expect(
        clippy::unused_async,
        reason = "connecting may come to need the network, and callers are async"
    )]
    pub async fn connect(config: &CatalogueConfig) -> Result<Self, CatalogueError> {
        config.check()?;
        let constraints = PoolConstraints::new(config.connections, config.connections)
            .expect("bounds are equal and not 0: the configuration was checked");
        let pool = PoolOpts::new()
            .with_constraints(constraints)
            // A reset would drop the prepared statements and cost a round trip; no
            // query of this crate leaves anything behind in a session.
            .with_reset_connection(false);
        let options = options(config)
            .db_name(Some(&config.database))
            .pool_opts(pool);
        Ok(Self {
            pool: Pool::new(options),
            config: Arc::new(config.clone()),
        })
    }

    /// Closes the idle connections and waits for the busy ones.
    pub async fn disconnect(self) -> Result<(), CatalogueError> {
        let failed = CatalogueError::server("disconnect");
        self.pool.disconnect().await.map_err(failed)
    }

    pub(crate) fn config(&self) -> &CatalogueConfig {
        &self.config
    }

    /// A connection outside the pool and outside the database, which may not exist yet.
    pub(crate) async fn connect_alone(&self) -> Result<Conn, CatalogueError> {
        let opening = Conn::new(Opts::from(options(&self.config)));
        self.in_time("connect", async {
            opening.await.map_err(self.unreachable())
        })
        .await
    }

    pub(crate) async fn conn(&self) -> Result<Conn, CatalogueError> {
        self.pool.get_conn().await.map_err(self.unreachable())
    }

    fn unreachable(&self) -> impl FnOnce(mysql_async::Error) -> CatalogueError {
        let CatalogueConfig { host, port, .. } = &*self.config;
        CatalogueError::server(format!("connect to {host}:{port}"))
    }

    /// Bounds how long an answer is waited for. The driver closes a connection whose
    /// query was abandoned.
    pub(crate) async fn in_time<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, CatalogueError>>,
    ) -> Result<T, CatalogueError> {
        let after = self.config.timeout();
        match tokio::time::timeout(after, work).await {
            Ok(result) => result,
            Err(_) => Err(CatalogueError::Timeout { what, after }),
        }
    }

    /// Runs `attempt` until it neither loses a race nor its connection. It must change
    /// nothing when run a second time.
    pub(crate) async fn restarting<T, W>(
        &self,
        what: &'static str,
        attempt: impl Fn() -> W,
    ) -> Result<T, CatalogueError>
    where
        W: Future<Output = Result<T, CatalogueError>>,
    {
        let mut attempts = 1;
        loop {
            match self.in_time(what, attempt()).await {
                Err(error) if error.restarts() && attempts < MOST_ATTEMPTS => {
                    metrics::counter!("aquifer_catalogue_restarts_total", "what" => what)
                        .increment(1);
                    tracing::debug!(what, attempts, %error, "transaction restarts");
                    tokio::time::sleep(pause(attempts)).await;
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    /// Changes a run under its lock: `apply` states the facts, `announce` says what is
    /// told about them if they change anything.
    pub(crate) async fn change(
        &self,
        what: &'static str,
        id: &RunId,
        who: &str,
        apply: impl Fn(&mut Draft) -> Result<(), CatalogueError>,
        announce: impl Fn(&Draft) -> Result<Vec<Mail>, CatalogueError>,
    ) -> Result<Draft, CatalogueError> {
        let (apply, announce) = (&apply, &announce);
        self.restarting(what, || async move {
            let mut conn = self.conn().await?;
            let mut tx = begin(&mut conn).await?;
            let mut draft = lock_run(&mut tx, id).await?;
            apply(&mut draft)?;
            if draft.finish()? {
                let mail = announce(&draft)?;
                save(&mut tx, &mut draft, who, mail).await?;
            }
            commit(tx).await?;
            Ok(draft)
        })
        .await
    }
}

/// Begins a transaction; dropped without [`commit`] it is rolled back.
pub(crate) async fn begin(conn: &mut Conn) -> Result<Transaction<'_>, CatalogueError> {
    let failed = CatalogueError::server("begin a transaction");
    conn.start_transaction(TxOpts::new()).await.map_err(failed)
}

/// Begins a transaction whose reads all see this moment, and lock nothing.
pub(crate) async fn begin_snapshot(conn: &mut Conn) -> Result<Transaction<'_>, CatalogueError> {
    let mut snapshot = TxOpts::new();
    snapshot
        .with_consistent_snapshot(true)
        .with_isolation_level(IsolationLevel::RepeatableRead);
    let failed = CatalogueError::server("begin a transaction");
    conn.start_transaction(snapshot).await.map_err(failed)
}

pub(crate) async fn commit(tx: Transaction<'_>) -> Result<(), CatalogueError> {
    tx.commit().await.map_err(CatalogueError::server("commit"))
}

/// A full jitter below a bound that doubles, so that those who collided spread.
fn pause(attempts: u32) -> Duration {
    let bound = Duration::from_millis(4 << attempts.min(8)).min(LONGEST_PAUSE);
    // A version 7 UUID ends in random bits.
    let random = Uuid::now_v7().as_u128() as u32;
    bound.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

fn options(config: &CatalogueConfig) -> OptsBuilder {
    let session = SESSION.map(str::to_owned).to_vec();
    OptsBuilder::default()
        .ip_or_hostname(&config.host)
        .tcp_port(config.port)
        .user(Some(&config.user))
        .pass(Some(config.password.reveal()))
        .ssl_opts(config.ssl())
        // The address that is configured, not a socket that the server suggests.
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .stmt_cache_size(CACHED_STATEMENTS)
        .setup(session)
}

/// The first row of a query, if there is one. (The driver's own conversions panic on a
/// row that does not fit.)
pub(crate) async fn first<P>(
    conn: &mut impl Queryable,
    what: &'static str,
    query: &str,
    params: P,
) -> Result<Option<Columns>, CatalogueError>
where
    P: Into<Params> + Send,
{
    let row: Option<Row> = conn
        .exec_first(query, params.into())
        .await
        .map_err(CatalogueError::server(what))?;
    Ok(row.map(|row| Columns::of(what, row)))
}

/// The only value of the only row of a query, if there is one.
pub(crate) async fn scalar<T: FromValue, P>(
    conn: &mut impl Queryable,
    what: &'static str,
    query: &str,
    params: P,
) -> Result<Option<T>, CatalogueError>
where
    P: Into<Params> + Send,
{
    let columns = first(conn, what, query, params).await?;
    columns.map(|mut columns| columns.next()).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded() {
        for attempts in 1..100 {
            assert!(pause(attempts) <= LONGEST_PAUSE);
        }
    }
}
