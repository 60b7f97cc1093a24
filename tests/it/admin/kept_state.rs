//! All that a relay keeps: the rows of its store and the files of its folder. A request that is refused,
//! or that only reads, leaves them as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::Scene;

/// The rows of each table, and mode and content of each file.
#[derive(Debug, PartialEq)]
pub(super) struct KeptState {
    rows: BTreeMap<String, Vec<Vec<Value>>>,
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Scene {
    pub(super) fn kept_state(&self) -> KeptState {
        let folder = self.folder.path();
        let mut files = BTreeMap::new();
        read_files(folder, folder, &mut files);
        assert!(files.contains_key("mappings/form.toml"), "{:?}", files.keys());
        KeptState { rows: rows(&folder.join("relay.db")), files }
    }
}

impl KeptState {
    /// Returns the names of the tables and files that differ.
    pub(super) fn differences(&self, other: &KeptState) -> Vec<String> {
        let tables = self.rows.keys().filter(|name| self.rows.get(*name) != other.rows.get(*name));
        let names = self.files.keys().chain(other.files.keys());
        let files = names.filter(|name| self.files.get(*name) != other.files.get(*name));
        tables.chain(files).cloned().collect()
    }
}

fn rows(store: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut query = store.prepare(sql).unwrap();
    let tables = query.query_map([], |row| row.get(0)).unwrap();
    let tables: Vec<String> = tables.map(Result::unwrap).collect();
    assert!(tables.iter().any(|it| it == "events"), "{tables:?}");
    let read = |table: String| {
        let mut query = store.prepare(&selection(&table)).unwrap();
        let columns = query.column_count();
        let rows = query.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        let rows = rows.map(Result::unwrap).collect();
        (table, rows)
    };
    tables.into_iter().map(read).collect()
}

/// Selects what only people change.
fn selection(table: &str) -> String {
    match table {
        // The relay writes by itself what it finds, and when it was there to find it.
        "issues" => {
            "SELECT id, muted_by, muted_until, muted_note FROM issues WHERE muted_by IS NOT NULL"
                .to_owned()
        }
        "live_half_hours" => "SELECT 1 WHERE FALSE".to_owned(),
        table => format!("SELECT * FROM {table}"),
    }
}

fn read_files(root: &Path, folder: &Path, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        // Its rows are compared.
        if name.starts_with("relay.db") {
            continue;
        }
        let mode = path.metadata().unwrap().permissions().mode();
        if path.is_dir() {
            files.insert(name, (mode, Vec::new()));
            read_files(root, &path, files);
        } else {
            files.insert(name, (mode, fs::read(&path).unwrap()));
        }
    }
}
