//! Lists that are read page by page, until there are as many rows as somebody asks for.

use std::fmt::Display;
use std::num::NonZeroUsize;

use crate::store::StoreError;

/// Number of rows that are read at a time.
const ROWS_OF_PAGE: usize = 500;

/// Reads pages of at most so many rows, from a cursor on. Returns the rows, and the cursor behind them if there may be
/// more.
// A page may have fewer rows than it could, or none, and go on: a search for a text returns after a second.
pub(super) async fn collect<T, C: Copy>(
    limit: NonZeroUsize,
    mut after: Option<C>,
    mut read: impl AsyncFnMut(usize, Option<C>) -> Result<(Vec<T>, Option<C>), StoreError>,
) -> Result<(Vec<T>, Option<C>), StoreError> {
    let mut rows = Vec::new();
    loop {
        let left = limit.get() - rows.len();
        let (page, next) = read(left.min(ROWS_OF_PAGE), after).await?;
        rows.extend(page);
        after = next;
        if after.is_none() || rows.len() >= limit.get() {
            return Ok((rows, after));
        }
    }
}

/// Says below a table how to read on; nothing if that was all.
pub(super) fn continuation(next: Option<impl Display>) -> String {
    next.map(|next| format!("\nnext page: --after {next}\n")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the numbers below 1,300.
    async fn read(limit: usize, after: Option<u32>) -> Result<(Vec<u32>, Option<u32>), StoreError> {
        assert!(limit <= ROWS_OF_PAGE, "{limit} rows of a page");
        let begin = after.unwrap_or(0);
        let end = begin.saturating_add(u32::try_from(limit).unwrap()).min(1_300);
        Ok(((begin..end).collect(), (end < 1_300).then_some(end)))
    }

    async fn collected(limit: usize, after: Option<u32>) -> (usize, Option<u32>) {
        let limit = NonZeroUsize::new(limit).unwrap();
        let (rows, next) = collect(limit, after, read).await.unwrap();
        let begin = after.unwrap_or(0);
        assert!(rows.iter().copied().eq(begin..begin + u32::try_from(rows.len()).unwrap()));
        (rows.len(), next)
    }

    #[tokio::test]
    async fn pages_are_read_until_there_are_enough_rows() {
        assert_eq!(collected(3, None).await, (3, Some(3)));
        assert_eq!(collected(1_200, None).await, (1_200, Some(1_200)));
        assert_eq!(collected(5_000, None).await, (1_300, None));
        assert_eq!(collected(600, Some(500)).await, (600, Some(1_100)));
    }

    #[tokio::test]
    async fn page_without_rows_is_no_end() {
        let mut pages = vec![(vec![2], None), (Vec::new(), Some(1)), (vec![1], Some(0))];
        let next_page = async |_, _| Ok(pages.pop().unwrap());
        let read = collect(NonZeroUsize::MIN.saturating_add(9), None, next_page).await.unwrap();
        assert_eq!(read, (vec![1, 2], None));
    }

    #[test]
    fn next_page_is_named_where_there_is_one() {
        assert_eq!(continuation(Some("1-2")), "\nnext page: --after 1-2\n");
        assert_eq!(continuation(None::<&str>), "");
    }
}
