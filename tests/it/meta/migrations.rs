//! The rule of migrations that makes a downgrade by one release possible.

use super::tree::{files, read};

/// Returns the statements of a migration, without comments.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|it| it.split("--").next().unwrap_or(it)).collect();
    let code = code.join(" ");
    let one = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
    code.split(';').map(one).filter(|it| !it.is_empty()).collect()
}

/// It says conditions of rows in other words and changes nothing that is stored; a test beside the migrations
/// holds it to that.
const REWORDED: &str = "migrations/sqlite/0027_checks_of_states.sql";

#[test]
fn migrations_since_the_sixteenth_only_add() {
    let files = files("migrations/sqlite", ".sql");
    assert!(files.iter().any(|it| it == REWORDED));
    let later = files.iter().filter(|it| it.as_str() >= "migrations/sqlite/0016");
    let later = later.filter(|it| *it != REWORDED);
    let mut seen = 0;
    for path in later {
        let statements = statements(&read(path));
        let makes = |it: &str| it.strip_prefix("CREATE TABLE ").map(|it| first_word(it).to_owned());
        let made: Vec<String> = statements.iter().filter_map(|it| makes(it)).collect();
        for it in &statements {
            let adds = it.starts_with("CREATE TABLE ")
                || it.starts_with("CREATE INDEX ")
                || it.starts_with("ALTER TABLE ") && it.contains(" ADD COLUMN ")
                || it
                    .strip_prefix("INSERT INTO ")
                    .is_some_and(|it| made.iter().any(|table| first_word(it) == table));
            assert!(adds, "{path}: the program of one release before could not go on after `{it}`");
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen} statements");
}

fn first_word(text: &str) -> &str {
    text.split([' ', '(']).next().unwrap_or(text)
}
