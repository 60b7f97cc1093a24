//! The table of issues.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::event::SourceName;
use crate::store::audit::AuditAction;
use crate::store::filter::{Cursor, PageRequest};
use crate::store::issue::{
    CLOSED_ISSUES_MAX, Issue, IssueFilter, IssueId, IssueKind, IssuePage, IssuePlace, IssueState,
    IssueStep, IssueWords, Mute, MuteOutcome, MuteRequest, OPEN_ISSUES_MAX,
};
use crate::store::sqlite::operations::audit;
use crate::store::sqlite::rows::columns::{
    EnumColumn, JsonColumn, ShownColumn, SourceColumn, TimeColumn, text_column, time_of,
};

/// Number of closed issues on a page.
const LIMIT_MAX: usize = 500;

/// Number of issues that one step deletes: one commit, for which webhooks wait.
const PURGED_MAX: usize = 500;

const COLUMNS: &str = "number, id, kind, key, source, destination, event_type, block, field, text,
    reason, hint, advice, opened_at, last_at, count, unit, steps, muted_by, muted_until, muted_note,
    closed_at, outcome";

pub(super) struct IssueIdColumn(pub(super) IssueId);

impl ToSql for IssueIdColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_bytes().as_slice().into())
    }
}

impl FromSql for IssueIdColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<IssueIdColumn> {
        <[u8; 16]>::column_result(value).map(|bytes| IssueIdColumn(IssueId::from_bytes(bytes)))
    }
}

pub(super) fn recent(
    connection: &Connection,
    closed_since: Timestamp,
) -> rusqlite::Result<Vec<Issue>> {
    let mut issues = open(connection, &IssueFilter::default())?;
    let filter = IssueFilter { since: Some(closed_since), ..IssueFilter::default() };
    let page = PageRequest { limit: CLOSED_ISSUES_MAX, after: None };
    issues.extend(closed(connection, &filter, page)?.into_iter().map(|(_, issue)| issue));
    Ok(issues)
}

pub(super) fn list(
    connection: &Connection,
    filter: &IssueFilter,
    page: PageRequest,
) -> rusqlite::Result<IssuePage> {
    let (has_open, has_closed) = match filter.state {
        IssueState::Open => (true, false),
        IssueState::Closed => (false, true),
        IssueState::All => (true, true),
    };
    let has_open = has_open && page.after.is_none();
    let mut issues = if has_open { open(connection, filter)? } else { Vec::new() };
    if !has_closed {
        return Ok(IssuePage { issues, next: None });
    }
    let limit = page.limit.clamp(1, LIMIT_MAX);
    // One more than the page shows whether there is a next page.
    let mut ended = closed(connection, filter, PageRequest { limit: limit + 1, ..page })?;
    let has_more = ended.len() > limit;
    ended.truncate(limit);
    let next = ended.last().map(|(cursor, _)| *cursor).filter(|_| has_more);
    issues.extend(ended.into_iter().map(|(_, issue)| issue));
    Ok(IssuePage { issues, next })
}

fn open(connection: &Connection, filter: &IssueFilter) -> rusqlite::Result<Vec<Issue>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM issues INDEXED BY issues_open
         WHERE closed_at IS NULL AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR source = ?2)
         LIMIT ?3"
    );
    let found = query(connection, &sql, params![kind(filter), source(filter), OPEN_ISSUES_MAX])?;
    let mut issues: Vec<Issue> = found.into_iter().map(|(_, issue)| issue).collect();
    issues.sort_by(|a, b| (a.kind, b.last_at, a.id).cmp(&(b.kind, a.last_at, b.id)));
    Ok(issues)
}

/// Returns closed issues with their positions, the last first.
fn closed(
    connection: &Connection,
    filter: &IssueFilter,
    page: PageRequest,
) -> rusqlite::Result<Vec<(Cursor, Issue)>> {
    // The table is small, and the filters leave out little: the index of the order serves all.
    let sql = format!(
        "SELECT {COLUMNS} FROM issues INDEXED BY issues_closed
         WHERE closed_at BETWEEN ?3 AND ?4 AND (closed_at <> ?4 OR number < ?5)
             AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR source = ?2)
         ORDER BY closed_at DESC, number DESC LIMIT ?6"
    );
    let from = filter.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let (after, number) =
        page.after.map_or((i64::MAX, 0), |it| (it.received_at.as_microsecond(), it.number));
    let filter = (kind(filter), source(filter));
    query(connection, &sql, params![filter.0, filter.1, from, after, number, page.limit])
}

fn kind(filter: &IssueFilter) -> Option<&'static str> {
    filter.kind.map(IssueKind::as_str)
}

fn source(filter: &IssueFilter) -> Option<&str> {
    filter.source.as_ref().map(SourceName::as_str)
}

/// Returns issues with their positions in the order of closing.
fn query(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<(Cursor, Issue)>> {
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params, from_row)?;
    // A kind that a newer program writes is left out.
    rows.filter_map(Result::transpose).collect()
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Option<(Cursor, Issue)>> {
    let Ok(EnumColumn::<IssueKind>(kind)) = row.get(2) else { return Ok(None) };
    let text = |column| row.get(column).map(|ShownColumn(text)| text);
    let (IssueIdColumn(id), source) = (row.get(1)?, row.get::<_, Option<SourceColumn>>(4)?);
    let (TimeColumn(opened_at), TimeColumn(last_at)) = (row.get(13)?, row.get(14)?);
    let JsonColumn::<Vec<IssueStep>>(steps) = row.get(17)?;
    let (by, until, note) = (text_column(row, 18)?, time_of(row, 19)?, text_column(row, 20)?);
    let closed_at = time_of(row, 21)?;
    let issue = Issue {
        id,
        kind,
        key: text(3)?,
        place: IssuePlace {
            source: source.map(|SourceColumn(name)| name),
            destination: text_column(row, 5)?,
            event_type: text_column(row, 6)?,
            block: text_column(row, 7)?,
            field: text_column(row, 8)?,
        },
        words: IssueWords {
            text: text(9)?,
            reason: text_column(row, 10)?,
            hint: text_column(row, 11)?,
            advice: text(12)?,
        },
        opened_at,
        last_at,
        count: row.get(15)?,
        unit: text(16)?,
        steps,
        muted: by.map(|by| Mute { by, until, note }),
        closed_at,
        outcome: text_column(row, 22)?,
    };
    let cursor = Cursor { received_at: closed_at.unwrap_or(Timestamp::MAX), number: row.get(0)? };
    Ok(Some((cursor, issue)))
}

pub(super) fn find(connection: &Connection, id: IssueId) -> rusqlite::Result<Option<Issue>> {
    let sql = format!("SELECT {COLUMNS} FROM issues WHERE id = ?1");
    let found = query(connection, &sql, [IssueIdColumn(id)])?;
    Ok(found.into_iter().next().map(|(_, issue)| issue))
}

pub(super) fn write(connection: &Connection, issues: &[Issue]) -> rusqlite::Result<()> {
    // Not the columns of the mute: a person may have changed them since the issue was read.
    let sql = "INSERT INTO issues (id, kind, key, source, destination, event_type, block, field, text,
            reason, hint, advice, opened_at, last_at, count, unit, steps, closed_at, outcome, open_as)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
            CASE WHEN ?18 IS NULL THEN ?2 || ' ' || ?3 END)
        ON CONFLICT (id) DO UPDATE SET text = excluded.text, reason = excluded.reason,
            hint = excluded.hint, advice = excluded.advice, last_at = excluded.last_at,
            count = excluded.count, unit = excluded.unit, steps = excluded.steps,
            closed_at = excluded.closed_at, outcome = excluded.outcome, open_as = excluded.open_as";
    let mut write = connection.prepare_cached(sql)?;
    for issue in issues {
        let IssuePlace { source, destination, event_type, block, field } = &issue.place;
        let IssueWords { text, reason, hint, advice } = &issue.words;
        write.execute(params![
            IssueIdColumn(issue.id),
            issue.kind.as_str(),
            issue.key,
            source.as_ref().map(SourceName::as_str),
            destination,
            event_type,
            block,
            field,
            text,
            reason,
            hint,
            advice,
            TimeColumn(issue.opened_at),
            TimeColumn(issue.last_at),
            issue.count,
            issue.unit,
            JsonColumn(&issue.steps),
            issue.closed_at.map(TimeColumn),
            issue.outcome,
        ])?;
    }
    Ok(())
}

pub(super) fn mute(
    connection: &Connection,
    request: &MuteRequest,
) -> rusqlite::Result<MuteOutcome> {
    let MuteRequest { id, now, until, note, by } = request;
    let Some(issue) = find(connection, *id)? else { return Ok(MuteOutcome::NotFound) };
    if !issue.is_open() {
        return Ok(MuteOutcome::Closed);
    }
    let mutes = until.is_none_or(|until| until > *now);
    let mute = mutes.then(|| Mute { by: by.who.clone(), until: *until, note: note.clone() });
    let sql = "UPDATE issues SET muted_by = ?2, muted_until = ?3, muted_note = ?4 WHERE id = ?1";
    let (who, until, note) = match &mute {
        Some(Mute { by, until, note }) => (Some(by), until.map(TimeColumn), note.as_ref()),
        None => (None, None, None),
    };
    connection.prepare_cached(sql)?.execute(params![IssueIdColumn(*id), who, until, note])?;
    let action = if mutes { AuditAction::MuteIssue } else { AuditAction::UnmuteIssue };
    let target = format!("issue {id} ({})", issue.kind.as_str());
    let entry = by.did(action, *now).on(&target);
    let entry = match &mute {
        Some(mute) => entry.detail(&described(mute)),
        None => entry,
    };
    audit::insert(connection, &entry)?;
    Ok(MuteOutcome::Changed(Box::new(Issue { muted: mute, ..issue })))
}

fn described(mute: &Mute) -> String {
    let until = mute.until.map_or_else(|| "until it closes".to_owned(), |it| format!("until {it}"));
    mute.note.iter().fold(until, |text, note| format!("{text}: {note}"))
}

/// Returns whether closed issues are older than this, or too many.
pub(in crate::store::sqlite) fn has_expired(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM issues INDEXED BY issues_closed WHERE closed_at < ?1";
    let closed = "SELECT count(*) FROM issues INDEXED BY issues_closed WHERE closed_at IS NOT NULL";
    let is_old = connection.prepare_cached(sql)?.exists([TimeColumn(before)])?;
    let closed = connection.prepare_cached(closed)?.query_row([], |row| row.get::<_, i64>(0));
    Ok(is_old || usize::try_from(closed?).unwrap_or(0) > CLOSED_ISSUES_MAX)
}

/// Deletes some of the closed issues that are older than this, or too many.
pub(in crate::store::sqlite) fn purge(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<()> {
    let last = "SELECT closed_at FROM issues INDEXED BY issues_closed WHERE closed_at IS NOT NULL
                ORDER BY closed_at DESC LIMIT 1 OFFSET ?1";
    let mut last = connection.prepare_cached(last)?;
    let last: Option<i64> = last.query_row([CLOSED_ISSUES_MAX], |row| row.get(0)).optional()?;
    // That one included: several may have been closed at once.
    let too_many = last.map_or(i64::MIN, |last| last.saturating_add(1));
    let before = before.as_microsecond().max(too_many);
    let expired = "FROM issues INDEXED BY issues_closed WHERE closed_at < ?1
                   ORDER BY closed_at, number LIMIT ?2";
    let told = format!("DELETE FROM told_issues WHERE issue IN (SELECT id {expired})");
    connection.prepare_cached(&told)?.execute(params![before, PURGED_MAX])?;
    let sql = format!("DELETE FROM issues WHERE number IN (SELECT number {expired})");
    connection.prepare_cached(&sql)?.execute(params![before, PURGED_MAX])?;
    Ok(())
}
