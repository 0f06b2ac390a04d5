//! The history of Django request replay, the seed of replays here.
//!
//! It kept a path without its query, no headers but two, JSON bodies written anew, and of responses a text for people. What
//! is not known is left out: the host, the headers, the duration. Its requests ran one after the other, and so they come
//! back.

use super::exchange::{Fields, assemble, check_request, check_response, pack, show};
use super::{Counts, IMPORT_CAPTURES_MAX, ImportError, Imported, moment};
use crate::clock::UnixMillis;
use crate::store::{Capture, DjangoError, DjangoRow, django_rows};
use reprise_core::wire::{Half, State};
use serde_json::{Map, Value};

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let rows = django_rows(bytes, IMPORT_CAPTURES_MAX).map_err(|error| {
        let at = match error {
            DjangoError::NotADatabase => Some(0),
            DjangoError::CutOff { found, .. } => Some(found),
            _ => None,
        };
        ImportError::new(at, "", error.to_string())
    })?;
    let mut imported = Imported::default();
    let mut free_us = 0;
    for row in rows {
        let place = format!("row {}", row.id);
        let capture = capture(row, free_us, &mut imported.counts);
        let capture = capture.map_err(|problem| ImportError::new(None, place, problem))?;
        free_us = capture.row.ended_us.saturating_add(1);
        imported.counts.captures += 1;
        imported.captures.push(capture);
    }
    Ok(imported)
}

/// Makes a capture that does not begin before `free_us`.
fn capture(row: DjangoRow, free_us: u64, counts: &mut Counts) -> Result<Capture, String> {
    let created = String::from_utf8_lossy(&row.created);
    let created_us = match moment::from_text(&created) {
        Some(us) => us,
        None if created.is_empty() => 0,
        None => return Err(format!("created: `{}` is not a moment", show(&row.created))),
    };
    let began_us = created_us.max(free_us);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (client, username, label) = (text(&row.ip), text(&row.username), text(&row.label));
    let response = response(&row, counts)?;
    let request = request(row, counts)?;
    let mut capture = assemble(request, response);
    let facts = &mut capture.row;
    facts.began_at = UnixMillis(i64::try_from(began_us / 1000).unwrap_or(i64::MAX));
    (facts.began_us, facts.ended_us) = (began_us, began_us);
    facts.state = if facts.status.is_some() {
        State::Completed
    } else {
        State::Unknown
    };
    facts.client = client;
    if !username.is_empty() {
        facts.principal = format!("username:{username}");
    }
    facts.labels = Some(label).filter(|label| !label.is_empty()).into_iter().collect();
    Ok(capture)
}

fn request(row: DjangoRow, counts: &mut Counts) -> Result<Half, String> {
    let mut head: Fields = vec![
        (b":method".to_vec(), row.method.to_ascii_uppercase()),
        (b":scheme".to_vec(), b"http".to_vec()),
        (b":path".to_vec(), target(&row.path)),
    ];
    let headers = [
        (&b"content-type"[..], &row.content_type),
        (b"user-agent", &row.user_agent),
    ];
    let known = headers.into_iter().filter(|(_, value)| !value.is_empty());
    head.extend(known.map(|(name, value)| (name.to_vec(), value.clone())));
    let content_type = row.content_type.to_ascii_lowercase();
    let is_form = content_type.starts_with(b"application/x-www-form-urlencoded");
    let is_multipart = content_type.starts_with(b"multipart/");
    let (mut body, mut is_missing) = (row.body, false);
    if body.is_empty() && !row.body_text.is_empty() {
        // Of forms it kept their fields as JSON, and of parts not even that.
        is_missing = is_multipart;
        body = match form(&row.body_text) {
            Some(form) if is_form => {
                counts.miss("form_spelling");
                form
            }
            _ if is_multipart => Vec::new(),
            _ => row.body_text,
        };
    }
    counts.miss_if(is_missing, "form_parts");
    let half = Half {
        pairs: pack(&head),
        body_len: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body,
        truncated: is_missing,
        ended: true,
        ..Half::default()
    };
    check_request(&half.pairs)?;
    Ok(half)
}

/// Escapes what cannot stand in a target; what is escaped already stays.
fn target(path: &[u8]) -> Vec<u8> {
    let mut target = Vec::with_capacity(path.len());
    if !path.starts_with(b"/") {
        target.push(b'/');
    }
    for (at, byte) in path.iter().enumerate() {
        let digits = path.get(at + 1..at + 3).unwrap_or_default();
        let is_escape = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte);
        if is_plain || (*byte == b'%' && is_escape) {
            target.push(*byte);
        } else {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    target
}

/// Writes fields that were kept as a JSON object as a form again.
fn form(text: &[u8]) -> Option<Vec<u8>> {
    let fields: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={}", escaped(name), escaped(&value))
    };
    Some(fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes())
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The response's status; its text is for people, and not what was sent, so that nobody may compare it as a whole.
fn response(row: &DjangoRow, counts: &mut Counts) -> Result<Option<Half>, String> {
    if row.status.is_empty() {
        counts.miss_if(!row.response_text.is_empty(), "responses");
        return Ok(None);
    }
    let half = Half {
        pairs: pack(&vec![(b":status".to_vec(), row.status.clone())]),
        body: row.response_text.clone(),
        body_len: u64::try_from(row.response_text.len()).unwrap_or(u64::MAX),
        truncated: true,
        ended: true,
        ..Half::default()
    };
    check_response(&half.pairs)?;
    Ok(Some(half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::read;
    use crate::format::{ImportFormat, import};
    use crate::store::django_testing::{TABLE_SQL, database, five};

    const IN: ImportFormat = ImportFormat::Django;

    /// Reads a history of one row; `values` are method, path, text, binary, content type, status and time.
    fn row(values: &str) -> Result<Imported, ImportError> {
        let columns = "request_method, request_path, request_data_text, request_data_binary, request_content_type, \
                       response_code, created, requester_useragent, response_data_text, requester_username, label";
        let sql = format!(
            "{TABLE_SQL} INSERT INTO request_logger_djangorequestshistorymodel ({columns}) VALUES ({values}, 'agent', 'ok', 'ann', 'l');"
        );
        import(IN, &database(&sql))
    }

    fn body(values: &str) -> (String, Imported) {
        let imported = row(values).unwrap();
        (
            String::from_utf8(imported.captures[0].request.body.clone()).unwrap(),
            imported,
        )
    }

    /// Case R12.
    #[test]
    fn a_history_of_five_rows_is_five_captures_in_order() {
        let captures = read(IN, &five()).captures;
        let bodies: Vec<_> = captures.iter().map(|capture| &capture.request.body[..]).collect();
        let want: Vec<_> = (1..=5).map(|n| format!("{{\"command\": \"c{n}\"}}")).collect();
        assert_eq!(bodies, want.iter().map(String::as_bytes).collect::<Vec<_>>());
        let is_next = |pair: &[Capture]| pair[0].row.ended_us < pair[1].row.began_us;
        assert!(captures.windows(2).all(is_next));
        let row = &captures[0].row;
        assert_eq!(
            (&*row.method, &*row.target, row.status),
            ("POST", "/api/commands", Some(201))
        );
        assert_eq!(
            (row.state, &*row.client, row.began_us),
            (State::Completed, "10.0.0.1", 1_747_821_662_100_000)
        );
    }

    #[test]
    fn rows_of_one_moment_stay_in_order() {
        let same = five();
        let same: Vec<u8> = String::from_utf8_lossy(&same)
            .contains("10:01:02")
            .then_some(same)
            .unwrap();
        let mut imported = read(IN, &same);
        assert!(
            imported
                .captures
                .windows(2)
                .all(|pair| pair[0].row.ended_us < pair[1].row.began_us)
        );
        let sql = "CREATE TABLE requestshistorymodel (method text, path text); \
                   INSERT INTO requestshistorymodel VALUES ('POST', '/1'), ('POST', '/2');";
        imported = read(IN, &database(sql));
        assert!(imported.captures[0].row.ended_us < imported.captures[1].row.began_us);
    }

    #[test]
    fn what_people_know_of_a_request_is_kept() {
        let imported = row("'post', '/a b/é%20%zz', '', x'ff00', 'image/png', 200, '2025-05-21 10:01:02'").unwrap();
        let capture = &imported.captures[0];
        assert_eq!(capture.row.target, "/a%20b/%C3%A9%20%25zz");
        assert_eq!(
            (&capture.request.body[..], &*capture.row.principal),
            (&[0xff, 0][..], "username:ann")
        );
        assert_eq!(
            (&capture.row.labels[..], &*capture.row.method),
            (&["l".to_owned()][..], "POST")
        );
        let response = capture.response.as_ref().unwrap();
        assert!(response.truncated && !capture.request.truncated);
    }

    #[test]
    fn a_form_of_which_only_fields_were_kept_is_written_again() {
        let values = r#"'POST', '/f', '{"a": "1 & 2", "b": "é"}', x'', 'application/x-www-form-urlencoded', 200, '2025-05-21 10:01:02'"#;
        let (body, imported) = body(values);
        assert_eq!(
            (&*body, imported.counts.not_carried),
            ("a=1+%26+2&b=%C3%A9", [("form_spelling", 1)].into())
        );
    }

    #[test]
    fn a_multipart_body_that_was_not_kept_is_not_whole() {
        let values =
            r#"'POST', '/f', '{"a": "1"}', x'', 'multipart/form-data; boundary=x', 200, '2025-05-21 10:01:02'"#;
        let (body, imported) = body(values);
        assert_eq!((&*body, imported.captures[0].request.truncated), ("", true));
        assert_eq!(imported.counts.not_carried, [("form_parts", 1)].into());
    }

    /// Case R40.
    #[test]
    fn a_row_that_no_request_can_be_refuses_the_file() {
        let refused = |values: &str, want: &str| assert_eq!(row(values).unwrap_err().to_string(), want);
        refused("'PO ST', '/', '', x'', '', 200, ''", "row 1: `PO ST` is not a method");
        refused(
            "'POST', '/', '', x'', '', 20, ''",
            "row 1: a response has a :status of three digits",
        );
        refused(
            "'POST', '/', '', x'', '', 200, 'soon'",
            "row 1: created: `soon` is not a moment",
        );
        refused(
            "'POST', '/', '', x'', 'a' || char(10) || 'b', 200, ''",
            "row 1: the value of `content-type` has a line break or a zero byte",
        );
        let cut = five();
        let error = import(IN, &cut[..5000]).unwrap_err().to_string();
        assert!(error.starts_with("byte 5000: the file is cut off: "), "{error}");
        assert_eq!(
            import(IN, b"hello").unwrap_err().to_string(),
            "byte 0: this is not a SQLite database"
        );
    }
}
