//! The partitions of attempts: one for each month, made ahead, and one for everything else.
//!
//! The id of an attempt contains its time and says which partition it belongs to. What finds none, because its clock is
//! wrong or nobody has made the partition, is recorded in the default partition. Nothing is lost by that, but the default
//! partition would never be dropped, so it is turned into a partition of its own from time to time. That is also how the
//! attempts of earlier releases, which were recorded in one table, get a partition.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};

use super::{Ledger, LedgerError, error::is_locked, sanitize};

/// Partitions exist for the current month and this many more. Schedulers may be stopped for as long.
const MONTHS_AHEAD: u32 = 2;

/// The default partition becomes a partition up to the start of a month which is at least this far ahead. Attempts from
/// after that time wait to be recorded meanwhile, so no clock may be there yet.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::days(7);

/// Rows that one step moves.
const PAGE: i32 = 1_000;

/// How often a statement is tried that needs a lock which others hold. They go on during the pauses.
pub(crate) const LOCK_TRIES: u32 = 30;
/// The pause between two tries.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_secs(1);

impl Ledger {
    /// Makes the partitions of attempts that are missing. An interrupted run continues where it stopped. Does nothing
    /// while another process does the same.
    ///
    /// Attempts are recorded meanwhile, except for at most 2 s at a time.
    pub async fn make_attempt_partitions(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let now = sanitize::timestamp(now);
        // A connection of its own: a lock of a session would stay with the pool.
        let mut connection = self.connect_directly().await?;
        let result = make_partitions(&mut connection, now).await;
        if let Err(error) = connection.close().await {
            tracing::debug!("closing the connection of the partitions failed: {error}");
        }
        result.map_err(|cause| self.failed(cause))
    }

    /// Until when (exclusive) attempts have partitions; `None` if there is none but the default one.
    pub async fn attempts_partitioned_until(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        sqlx::query_scalar(include_str!("../sql/newest_attempt_partition.sql"))
            .fetch_optional(&mut *self.acquire().await?)
            .await
            .map_err(|cause| self.failed(cause))
    }

    /// Drops a partition of attempts that all started before a time. Returns its name. Their costs stay in the totals.
    pub async fn drop_attempt_partition(
        &self,
        before: DateTime<Utc>,
    ) -> Result<Option<String>, LedgerError> {
        let before = sanitize::timestamp(before);
        let mut connection = self.acquire().await?;
        self.expect_pruned_attempts(before, &mut connection).await?;
        sqlx::query_scalar(include_str!("../sql/drop_attempt_partition.sql"))
            .bind(before)
            .fetch_one(&mut *connection)
            .await
            .map_err(|cause| self.failed(cause))
    }
}

async fn make_partitions(connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let locked: bool = sqlx::query_scalar(include_str!("../sql/lock_attempt_partitions.sql"))
        .fetch_one(&mut *connection)
        .await?;
    if !locked {
        return Ok(());
    }
    split_default(connection, now).await?;
    let newest: Option<DateTime<Utc>> =
        sqlx::query_scalar(include_str!("../sql/newest_attempt_partition.sql"))
            .fetch_optional(&mut *connection)
            .await?;
    for month in months_to_make(newest, now) {
        let sql = include_str!("../sql/create_attempt_partition.sql");
        run_when_unlocked(connection, sql, Some(month)).await?;
    }
    sqlx::query(include_str!("../sql/unlock_attempt_partitions.sql"))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Turns the default partition into a partition of its own, if it has attempts that belong there.
async fn split_default(connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let has_begun: bool = sqlx::query_scalar(include_str!("../sql/attempt_split_has_begun.sql"))
        .fetch_one(&mut *connection)
        .await?;
    if !has_begun {
        let Some(end) = next_month(now + CLOCK_TOLERANCE) else {
            return Ok(());
        };
        let is_needed: bool =
            sqlx::query_scalar(include_str!("../sql/attempt_split_is_needed.sql"))
                .bind(end)
                .fetch_one(&mut *connection)
                .await?;
        if !is_needed {
            return Ok(());
        }
        tracing::info!(until = %end, "moving the recorded attempts into a partition; recording continues");
        let sql = include_str!("../sql/begin_attempt_split.sql");
        run_when_unlocked(connection, sql, Some(end)).await?;
    }
    while move_page(connection).await? == PAGE {}
    sqlx::query(include_str!("../sql/validate_attempt_split.sql"))
        .execute(&mut *connection)
        .await?;
    run_when_unlocked(
        connection,
        include_str!("../sql/finish_attempt_split.sql"),
        None,
    )
    .await?;
    tracing::info!("recorded attempts are a partition");
    Ok(())
}

async fn move_page(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar(include_str!("../sql/move_attempts_outside_split.sql"))
        .bind(PAGE)
        .fetch_one(connection)
        .await
}

/// Runs a statement that waits for a lock for a short time only, until it gets it.
async fn run_when_unlocked(
    connection: &mut PgConnection,
    sql: &'static str,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    let mut tries = 1;
    loop {
        let query = match at {
            Some(at) => sqlx::query(sql).bind(at),
            None => sqlx::query(sql),
        };
        match query.execute(&mut *connection).await {
            Err(error) if is_locked(&error) && tries < LOCK_TRIES => tries += 1,
            result => return result.map(|_| ()),
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// The months without a partition, up to [`MONTHS_AHEAD`].
fn months_to_make(newest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let last = now.checked_add_months(Months::new(MONTHS_AHEAD));
    let first = newest.map_or(now, |end| end.max(now));
    std::iter::successors(month_of(first), |month| next_month(*month))
        .take_while(|month| last.is_some_and(|last| *month <= last))
        .collect()
}

/// The start of the month of a time.
fn month_of(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    NaiveDate::from_ymd_opt(at.year(), at.month(), 1)
        .map(|day| day.and_time(NaiveTime::MIN).and_utc())
}

/// The first start of a month after a time.
fn next_month(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    month_of(at)?.checked_add_months(Months::new(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn partitions_are_made_for_the_current_month_and_two_more() {
        let now = at("2026-12-31T23:59:59Z");
        let months = |newest: Option<&str>| -> Vec<String> {
            months_to_make(newest.map(at), now)
                .iter()
                .map(|month| month.format("%F %T").to_string())
                .collect()
        };
        let all = [
            "2026-12-01 00:00:00",
            "2027-01-01 00:00:00",
            "2027-02-01 00:00:00",
        ];
        assert_eq!(months(None), all);
        assert_eq!(months(Some("2026-09-01T00:00:00Z")), all);
        assert_eq!(months(Some("2027-01-01T00:00:00Z")), all[1..]);
        assert_eq!(months(Some("2027-03-01T00:00:00Z")), [""; 0]);
    }
}
