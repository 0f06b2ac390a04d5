//! Where values stand in a request, and how each place writes them.

use super::names::{self, Name, noun};
use super::text::{decoded, encoded, replace_word};
use super::{Context, Variables};
use crate::replay::compare::Place;
use crate::replay::json::{self, Node, Value};
use crate::replay::key::HEADER;
use crate::replay::request::Outgoing;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Headers that would not fit another body.
const DIGESTS: [&[u8]; 4] = [b"content-digest", b"content-md5", b"digest", b"repr-digest"];

/// Replaces what `variables` know in all of `request`; tells how many places changed.
pub(super) fn replace(request: &mut Outgoing, variables: &Variables) -> u32 {
    let about = String::from_utf8_lossy(&request.target).into_owned();
    let collection = names::collection(&about);
    let mut edits = Edits { variables, count: 0 };
    let target = core::str::from_utf8(&request.target).ok();
    if let Some(target) = target.and_then(|target| edits.target(target)) {
        request.target = target.into_bytes();
    }
    // The client's own key says which request it is, and is a new one's nowhere.
    let headers = request
        .headers
        .iter_mut()
        .filter(|header| header.name != HEADER.as_bytes());
    for header in headers {
        let name = String::from_utf8_lossy(&header.name).into_owned();
        let value = core::str::from_utf8(&header.value).ok();
        if let Some(value) = value.and_then(|value| edits.header(&name, value)) {
            header.value = value.into_bytes();
        }
    }
    if let Some(body) = edits.body(request, &collection) {
        request.body = body.into_bytes();
        request.headers.retain(|header| !DIGESTS.contains(&&header.name[..]));
    }
    edits.count
}

struct Edits<'a> {
    variables: &'a Variables,
    count: u32,
}

impl Edits<'_> {
    fn replaced(&mut self, text: &str, nouns: Vec<String>) -> Option<String> {
        let context = Context {
            nouns,
            ..Context::default()
        };
        let now = self.variables.replaced(text, &context)?;
        self.count = self.count.saturating_add(1);
        Some(now)
    }

    fn target(&mut self, target: &str) -> Option<String> {
        // A rule may be about more than one segment.
        let texts = self.variables.texts.iter();
        let long = texts.filter(|(from, _)| from.contains(['/', '?', '&', '=']));
        let ruled = long.fold(None, |now: Option<String>, (from, to)| {
            replace_word(now.as_deref().unwrap_or(target), from, to).or(now)
        });
        self.count = self.count.saturating_add(u32::from(ruled.is_some()));
        let found = self.segments(ruled.as_deref().unwrap_or(target));
        found.or(ruled)
    }

    fn segments(&mut self, target: &str) -> Option<String> {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let mut before = String::new();
        let mut is_new = false;
        let mut segments = Vec::new();
        for segment in path.split('/') {
            let text = decoded(segment);
            let now = text
                .as_deref()
                .and_then(|text| self.replaced(text, [noun(&before)].into()));
            before = text.unwrap_or_default();
            is_new |= now.is_some();
            segments.push(now.map_or_else(|| segment.into(), |now| encoded(&now)));
        }
        let fields = query.map(|query| self.fields(query));
        is_new |= fields.iter().flatten().next().is_some();
        let mut out = segments.join("/");
        if let Some(query) = query {
            out.push('?');
            out.push_str(fields.flatten().as_deref().unwrap_or(query));
        }
        is_new.then_some(out)
    }

    /// Replaces the values of a query or a form.
    fn fields(&mut self, text: &str) -> Option<String> {
        let mut is_new = false;
        let mut fields = Vec::new();
        for field in text.split('&') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let spaced = value.replace('+', " ");
            let nouns = decoded(name).map(|name| nouns(&name, "", "")).unwrap_or_default();
            let now = decoded(&spaced).and_then(|value| self.replaced(&value, nouns));
            is_new |= now.is_some();
            fields.push(now.map_or_else(|| field.into(), |now| [name, "=", &encoded(&now)].concat()));
        }
        is_new.then(|| fields.join("&"))
    }

    fn header(&mut self, name: &str, value: &str) -> Option<String> {
        match name {
            "if-match" | "if-none-match" => {
                let mut is_new = false;
                let parts = value.split('"').map(|part| {
                    let now = self.replaced(part, ["etag".into()].into());
                    is_new |= now.is_some();
                    now.unwrap_or_else(|| part.into())
                });
                let joined = parts.collect::<Vec<_>>().join("\"");
                is_new.then_some(joined)
            }
            "if-modified-since" | "if-unmodified-since" => self.replaced(value, ["last-modified".into()].into()),
            _ => self.replaced(value, nouns(name, "", "")),
        }
    }

    fn body(&mut self, request: &Outgoing, collection: &str) -> Option<String> {
        let text = core::str::from_utf8(&request.body).ok();
        let text = text.filter(|text| !text.is_empty() && request.header(b"content-encoding").is_none())?;
        let media = request.header(b"content-type").unwrap_or_default();
        if media
            .to_ascii_lowercase()
            .starts_with(b"application/x-www-form-urlencoded")
        {
            return self.fields(text);
        }
        let node = if request.is_json() {
            json::parse(text.as_bytes())
        } else {
            None
        };
        let Some(node) = node else {
            return self.replaced(text, Vec::new());
        };
        let mut splices = Vec::new();
        self.node(&node, ("", "", collection), &mut splices);
        spliced(text, &splices)
    }

    fn node(
        &mut self,
        node: &Node<'_>,
        (name, parent, collection): (&str, &str, &str),
        splices: &mut Vec<(Range<usize>, String)>,
    ) {
        match &node.value {
            Value::Object(members) => {
                for (member, value) in members {
                    self.node(value, (member, name, collection), splices);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.node(item, (name, parent, collection), splices);
                }
            }
            Value::Text(text) => {
                if let Some(now) = self.replaced(text, nouns(name, parent, collection)) {
                    let mut quoted = String::new();
                    json::quote(&now, &mut quoted);
                    splices.push((node.span.clone(), quoted));
                }
            }
            Value::Number(number) => {
                let context = Context {
                    nouns: nouns(name, parent, collection),
                    ..Context::default()
                };
                if let Some(now) = self.variables.number(number, &context) {
                    self.count = self.count.saturating_add(1);
                    splices.push((node.span.clone(), now));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

impl Variables {
    /// Finds what a JSON number is now, as JSON.
    fn number(&self, number: &str, context: &Context) -> Option<String> {
        let by_rule = self.texts.iter().find(|(from, _)| from == number).map(|(_, to)| &**to);
        let now = by_rule.or_else(|| self.value(number, context))?;
        if json::is_number(now) {
            return Some(now.into());
        }
        let mut quoted = String::new();
        json::quote(now, &mut quoted);
        Some(quoted)
    }
}

/// Names the kinds of things whose id a value of this name may be.
fn nouns(name: &str, parent: &str, collection: &str) -> Vec<String> {
    match Name::read(name) {
        Name::Id(kind) if kind.is_empty() => [names::kind(parent, collection)].into(),
        Name::Id(kind) | Name::Made(kind) | Name::Other(kind) => [kind].into(),
        Name::Once => Vec::new(),
    }
}

/// Names the kind of things whose id stands at a place of a response; none if its name is no id's.
pub(super) fn id_nouns(place: &Place, target: &[u8]) -> Vec<String> {
    let (name, parent) = match place {
        Place::Header(name) => (&**name, ""),
        Place::Json(pointer) => names::of_path(pointer.segments()),
        Place::Status | Place::Body => return Vec::new(),
    };
    match Name::read(name) {
        Name::Id(kind) if kind.is_empty() => {
            let collection = names::collection(&String::from_utf8_lossy(target));
            [names::own_kind(parent, &collection)].into()
        }
        Name::Id(kind) | Name::Made(kind) => [kind].into(),
        Name::Other(_) | Name::Once => Vec::new(),
    }
}

fn spliced(text: &str, splices: &[(Range<usize>, String)]) -> Option<String> {
    let mut out = String::new();
    let mut at = 0;
    for (span, now) in splices {
        out.push_str(text.get(at..span.start)?);
        out.push_str(now);
        at = span.end;
    }
    out.push_str(text.get(at..)?);
    (!splices.is_empty()).then_some(out)
}
