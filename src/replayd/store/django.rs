//! The table that Django request replay keeps its history in, read out of its SQLite file.
//!
//! Only read: the file is a copy in memory, and nothing that its schema defines is evaluated.

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB};
use thiserror::Error;

/// What each column is called, the name of today first; older and renamed ones are taken as well.
const COLUMNS: [&[&str]; 12] = [
    &["request_method", "method"],
    &["request_path", "path", "request_url", "url"],
    &["request_data_binary", "request_body", "body"],
    &["request_data_text", "request_data", "data"],
    &["request_content_type", "content_type"],
    &["requester_useragent", "requester_user_agent", "user_agent"],
    &["requester_ip", "ip_address", "ip"],
    &["requester_username", "username", "user"],
    &["response_code", "response_status_code", "status_code", "status"],
    &["response_data_text", "response_data", "response"],
    &["created", "created_at", "timestamp"],
    &["label"],
];
/// How many of them every table has.
const NEEDED: usize = 2;
/// What the table's name ends with; before it stands the name of the Django app.
const TABLE: &str = "requestshistorymodel";

/// One request of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DjangoRow {
    /// Its number in the table.
    pub(crate) id: i64,
    /// The method.
    pub(crate) method: Vec<u8>,
    /// The path, decoded, without its query.
    pub(crate) path: Vec<u8>,
    /// The body; empty if there is none, or only a text of it.
    pub(crate) body: Vec<u8>,
    /// What people see of the body.
    pub(crate) body_text: Vec<u8>,
    /// `Content-Type`.
    pub(crate) content_type: Vec<u8>,
    /// `User-Agent`.
    pub(crate) user_agent: Vec<u8>,
    /// The client's address.
    pub(crate) ip: Vec<u8>,
    /// The user's name.
    pub(crate) username: Vec<u8>,
    /// The response's status, in digits.
    pub(crate) status: Vec<u8>,
    /// What people see of the response's body.
    pub(crate) response_text: Vec<u8>,
    /// When it was written, after the response.
    pub(crate) created: Vec<u8>,
    /// A label.
    pub(crate) label: Vec<u8>,
}

/// Why the history cannot be read.
#[derive(Debug, Error)]
pub(crate) enum DjangoError {
    /// The bytes are something else.
    #[error("this is not a SQLite database")]
    NotADatabase,
    /// Pages are missing.
    #[error("the file is cut off: its header tells of {announced} bytes, and {found} are here")]
    CutOff {
        /// What the header says.
        announced: u64,
        /// What is here.
        found: usize,
    },
    /// The table is not there.
    #[error("no table whose name ends with `{TABLE}`; the tables are {tables:?}")]
    NoTable {
        /// Those that are.
        tables: Vec<String>,
    },
    /// More than one could be meant.
    #[error("several tables could be the history: {tables:?}")]
    Ambiguous {
        /// They.
        tables: Vec<String>,
    },
    /// A column is not there.
    #[error("the table `{table}` has no column `{column}`")]
    NoColumn {
        /// The table.
        table: String,
        /// The column's name of today.
        column: &'static str,
    },
    /// There are more rows than are taken.
    #[error("more than {rows_max} rows")]
    TooMany {
        /// How many are taken.
        rows_max: usize,
    },
    /// SQLite refused.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Reads all rows in the order of their numbers.
///
/// # Errors
/// [`DjangoError`].
pub(crate) fn django_rows(file: &[u8], rows_max: usize) -> Result<Vec<DjangoRow>, DjangoError> {
    check_length(file)?;
    let connection = open(file)?;
    let table = table(&connection)?;
    let columns = columns(&connection, &table)?;
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM {} ORDER BY 1", quoted(&table)))?;
    let (mut rows, mut found) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        if found.len() >= rows_max {
            return Err(DjangoError::TooMany { rows_max });
        }
        found.push(row_of(row)?);
    }
    Ok(found)
}

/// Compares the file's length with what its header says.
///
/// Shape: magic 16 bytes | u16be page size, 1 = 65536 | … | at 24 u32be change counter | u32be pages | … | at 92 u32be the
/// counter for which the number of pages is right.
///
/// Source: SQLite, "Database File Format", 1.3, read 2026-11.
fn check_length(file: &[u8]) -> Result<(), DjangoError> {
    let word = |at: usize| file.get(at..)?.first_chunk::<4>().copied().map(u32::from_be_bytes);
    let page = file.get(16..).and_then(|rest| rest.first_chunk::<2>().copied());
    let page = page.map(u16::from_be_bytes);
    let (Some(page), true) = (page, file.starts_with(b"SQLite format 3\0")) else {
        return Err(DjangoError::NotADatabase);
    };
    let page = if page == 1 { 65_536 } else { u64::from(page.max(512)) };
    let pages = match (word(24), word(28), word(92)) {
        (Some(counter), Some(pages), Some(valid_for)) if counter == valid_for => u64::from(pages),
        _ => 1,
    };
    let announced = page.saturating_mul(pages);
    let found = file.len();
    if u64::try_from(found).is_ok_and(|found| found < announced || found % page != 0) {
        return Err(DjangoError::CutOff { announced, found });
    }
    Ok(())
}

/// Opens a copy of the file in memory.
fn open(file: &[u8]) -> Result<Connection, DjangoError> {
    let mut copy = file.to_vec();
    // A file that was left with a write-ahead log cannot be opened in memory; both versions say so: 2 = with, 1 = without.
    if let Some(versions) = copy.get_mut(18..20) {
        versions.fill(1);
    }
    let mut connection = Connection::open_in_memory()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.deserialize_read_exact(MAIN_DB, copy.as_slice(), copy.len(), true)?;
    Ok(connection)
}

/// Finds the history among the tables; neither views nor virtual tables are looked at.
fn table(connection: &Connection) -> Result<String, DjangoError> {
    let named = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\\_%' \
                 ESCAPE '\\'";
    let mut statement = connection.prepare(named)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let tables = names.collect::<Result<Vec<_>, _>>()?;
    let fits = |name: &&String| name.to_ascii_lowercase().replace('_', "").ends_with(TABLE);
    let fitting: Vec<_> = tables.iter().filter(fits).cloned().collect();
    match <[String; 1]>::try_from(fitting) {
        Ok([table]) => Ok(table),
        Err(none) if none.is_empty() => Err(DjangoError::NoTable { tables }),
        Err(tables) => Err(DjangoError::Ambiguous { tables }),
    }
}

/// Lists what is read: the number, and each of [`COLUMNS`] or NULL.
fn columns(connection: &Connection, table: &str) -> Result<String, DjangoError> {
    // Hidden columns are computed: what they are computed from is the file's, and nothing of it runs.
    let plain = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0";
    let mut statement = connection.prepare(plain)?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let here = |wanted: &str| names.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    let mut list = vec![here("id").map_or_else(|| "rowid".to_owned(), |id| quoted(id))];
    for (at, candidates) in COLUMNS.iter().enumerate() {
        let found = candidates.iter().find_map(|wanted| here(wanted));
        if found.is_none() && at < NEEDED {
            return Err(DjangoError::NoColumn {
                table: table.to_owned(),
                column: candidates.first().copied().unwrap_or_default(),
            });
        }
        list.push(found.map_or_else(|| "NULL".to_owned(), |name| quoted(name)));
    }
    Ok(list.join(", "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn row_of(row: &rusqlite::Row<'_>) -> Result<DjangoRow, rusqlite::Error> {
    let bytes = |at: usize| {
        Ok::<_, rusqlite::Error>(match row.get_ref(at)? {
            ValueRef::Null => Vec::new(),
            ValueRef::Integer(number) => number.to_string().into_bytes(),
            ValueRef::Real(number) => number.to_string().into_bytes(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        })
    };
    Ok(DjangoRow {
        id: row.get_ref(0)?.as_i64().unwrap_or_default(),
        method: bytes(1)?,
        path: bytes(2)?,
        body: bytes(3)?,
        body_text: bytes(4)?,
        content_type: bytes(5)?,
        user_agent: bytes(6)?,
        ip: bytes(7)?,
        username: bytes(8)?,
        status: bytes(9)?,
        response_text: bytes(10)?,
        created: bytes(11)?,
        label: bytes(12)?,
    })
}

/// Histories to try with.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The table as Django's migration makes it.
    pub(crate) const TABLE_SQL: &str = r#"CREATE TABLE "request_logger_djangorequestshistorymodel" (
        "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "request_method" varchar(6) NOT NULL,
        "request_path" varchar(1024) NOT NULL, "request_data_text" text NOT NULL, "request_data_binary" BLOB NOT NULL,
        "request_content_type" text NOT NULL, "requester_useragent" varchar(255) NOT NULL, "requester_ip" char(39) NULL,
        "requester_username" varchar(255) NULL, "response_code" integer NULL, "response_data_text" text NOT NULL,
        "created" datetime NOT NULL, "label" varchar(255) NULL);"#;

    /// Makes a database by these statements and gives its file.
    pub(crate) fn database(sql: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        std::fs::read(path).unwrap()
    }

    /// A history of five commands, and the tables that Django keeps beside it.
    pub(crate) fn five() -> Vec<u8> {
        let row = |n: u32| {
            format!(
                "INSERT INTO request_logger_djangorequestshistorymodel (request_method, request_path, request_data_text, \
                 request_data_binary, request_content_type, requester_useragent, requester_ip, requester_username, \
                 response_code, response_data_text, created, label) VALUES ('POST', '/api/commands', \
                 '{{\"command\": \"c{n}\"}}', CAST('{{\"command\": \"c{n}\"}}' AS BLOB), 'application/json', 'curl/8', \
                 '10.0.0.{n}', '', 201, '', '2025-05-21 10:01:02.{n}00000', NULL);"
            )
        };
        let rows: String = (1..=5).map(row).collect();
        database(&format!(
            "CREATE TABLE django_session (session_key text); {TABLE_SQL} {rows}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{TABLE_SQL, database, five};
    use super::*;

    #[track_caller]
    fn refused(file: &[u8], want: &str) {
        assert_eq!(django_rows(file, 100).unwrap_err().to_string(), want);
    }

    #[test]
    fn rows_come_in_the_order_of_their_numbers() {
        let rows = django_rows(&five(), 100).unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(rows[2].body, br#"{"command": "c3"}"#);
        assert_eq!((&rows[2].status[..], &rows[2].label[..]), (&b"201"[..], &b""[..]));
    }

    #[test]
    fn a_renamed_app_and_older_columns_are_known() {
        let sql = "CREATE TABLE Other_Requests_History_Model (METHOD text, path text, status int); \
                   INSERT INTO Other_Requests_History_Model VALUES ('PUT', '/x', 200);";
        let rows = django_rows(&database(sql), 100).unwrap();
        assert_eq!(
            (&rows[0].method[..], &rows[0].status[..], rows[0].id),
            (&b"PUT"[..], &b"200"[..], 1)
        );
    }

    #[test]
    fn a_file_with_a_write_ahead_log_is_read() {
        let rows = django_rows(&database(&format!("PRAGMA journal_mode = wal; {TABLE_SQL}")), 100).unwrap();
        assert_eq!(rows, []);
    }

    #[test]
    fn what_is_no_history_is_refused() {
        refused(b"", "this is not a SQLite database");
        refused(b"SQLite format 3\0", "this is not a SQLite database");
        refused(
            &database("CREATE TABLE a (b); CREATE VIEW djangorequestshistorymodel AS SELECT 1"),
            "no table whose name ends with `requestshistorymodel`; the tables are [\"a\"]",
        );
        refused(
            &database("CREATE TABLE requestshistorymodel (path text, method text AS (printf('%.*c', 9999, 'x')))"),
            "the table `requestshistorymodel` has no column `request_method`",
        );
        refused(
            &database("CREATE TABLE a_requestshistorymodel (b); CREATE TABLE b_requestshistorymodel (b)"),
            "several tables could be the history: [\"a_requestshistorymodel\", \"b_requestshistorymodel\"]",
        );
        assert!(matches!(
            django_rows(&five(), 4),
            Err(DjangoError::TooMany { rows_max: 4 })
        ));
    }

    /// Case R40.
    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let file = five();
        for len in (0..file.len()).step_by(97).chain([4096, file.len() - 4096]) {
            assert!(django_rows(&file[..len], 100).is_err(), "cut at {len}");
        }
    }

    static FIVE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(five);

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(at: usize, bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..64)) {
            let mut file = FIVE.clone();
            let at = at % file.len();
            let end = file.len().min(at + bytes.len());
            file.splice(at..end, bytes);
            let _any = django_rows(&file, 100);
        }
    }
}
