//! What one answer teaches: where it is not what was captured, and what such a place says.

use super::names::{self, Name, collection, is_certain, is_distinctive, noun};
use super::{Exchange, Learned, Variables, text};
use crate::replay::compare::{Place, Response};
use crate::replay::json::{Node, Value};
use crate::replay::step::is_safe;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What one answer teaches.
pub(super) struct Lesson<'a> {
    variables: &'a Variables,
    /// Whether the request may have made something.
    is_mutation: bool,
    /// What the request was about.
    collection: String,
    /// All values of the captured response: a value among them was moved, not renamed.
    values: BTreeSet<String>,
    learned: Vec<Learned>,
}

impl<'a> Lesson<'a> {
    /// Compares the two responses of `exchange`.
    pub(super) fn of(exchange: &Exchange<'_>, variables: &'a Variables) -> Vec<Learned> {
        let mut lesson = Self {
            variables,
            is_mutation: !is_safe(exchange.method),
            collection: collection(&String::from_utf8_lossy(exchange.target)),
            values: BTreeSet::new(),
            learned: Vec::new(),
        };
        lesson.headers(&exchange.was, &exchange.is);
        if let (Some(was), Some(is)) = (exchange.was.json(), exchange.is.json()) {
            lesson.collect(&was);
            lesson.node(&was, &is, &mut Vec::new());
        }
        lesson.learned
    }

    fn push(&mut self, was: &str, is: &str, noun: String, is_id: bool) {
        if !was.is_empty() && !is.is_empty() {
            let (was, is) = (was.into(), is.into());
            self.learned.push(Learned { was, is, noun, is_id });
        }
    }

    fn headers(&mut self, was: &Response<'_>, is: &Response<'_>) {
        let mut seen = BTreeSet::new();
        for (name, value) in was.pairs {
            let (Ok(name), Ok(value)) = (core::str::from_utf8(name), core::str::from_utf8(value)) else {
                continue;
            };
            let Some(now) = is.header(name) else { continue };
            // Several values of one name cannot be told apart; cookies are the business of sessions.
            if !seen.insert(name) || was.header(name).as_deref() != Some(value) || name == "set-cookie" {
                continue;
            }
            if self.variables.places.contains(&Place::Header(name.into())) {
                self.push(value, &now, String::new(), true);
            } else if self.variables.is_auto {
                self.header(name, value, &now);
            }
        }
    }

    fn header(&mut self, name: &str, was: &str, is: &str) {
        match name {
            "location" | "content-location" => self.path(was, is),
            "etag" => {
                let tag = |value: &str| value.trim_start_matches("W/").trim_matches('"').to_string();
                self.push(&tag(was), &tag(is), "etag".into(), false);
            }
            "last-modified" => self.push(was, is, "last-modified".into(), false),
            _ => match Name::read(name) {
                Name::Id(_) | Name::Made(_) => self.scalar(was, is, name, ""),
                Name::Other(_) | Name::Once => {}
            },
        }
    }

    /// Learns the segments in which two paths differ.
    fn path(&mut self, was: &str, is: &str) {
        let (was, is) = (text::path_of(was), text::path_of(is));
        if was.split('/').count() != is.split('/').count() {
            return;
        }
        let mut before = "";
        for (was, is) in was.split('/').zip(is.split('/')) {
            let (one, other) = (text::decoded(was), text::decoded(is));
            if let (Some(one), Some(other)) = (one, other) {
                let noun = if is_distinctive(&one) {
                    String::new()
                } else {
                    noun(before)
                };
                // A plain segment of a collection without a name could be anything.
                if is_distinctive(&one) || !noun.is_empty() {
                    self.push(&one, &other, noun, true);
                }
            }
            before = was;
        }
    }

    fn collect(&mut self, node: &Node<'_>) {
        match &node.value {
            Value::Text(text) => drop(self.values.insert(text.to_string())),
            Value::Number(number) => drop(self.values.insert((*number).into())),
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(members) => members.iter().for_each(|(_, member)| self.collect(member)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn node(&mut self, was: &Node<'_>, is: &Node<'_>, path: &mut Vec<String>) {
        match (&was.value, &is.value) {
            (Value::Object(was), Value::Object(is)) => {
                for (name, was) in was {
                    let Some((_, is)) = is.iter().find(|(each, _)| each == name) else {
                        continue;
                    };
                    path.push(name.to_string());
                    self.node(was, is, path);
                    path.pop();
                }
            }
            (Value::Array(was), Value::Array(is)) => {
                for (at, (was, is)) in was.iter().zip(is).enumerate() {
                    path.push(at.to_string());
                    self.node(was, is, path);
                    path.pop();
                }
            }
            (Value::Text(was), Value::Text(is)) => self.leaf(was, is, path, true),
            (Value::Number(was), Value::Number(is)) => self.leaf(was, is, path, false),
            (Value::Text(was), Value::Number(is)) => self.leaf(was, is, path, true),
            (Value::Number(was), Value::Text(is)) => self.leaf(was, is, path, false),
            _ => {}
        }
    }

    fn leaf(&mut self, was: &str, is: &str, path: &[String], is_text: bool) {
        let is_named = |place: &Place| matches!(place, Place::Json(pointer) if pointer.fits(path));
        if self.variables.places.iter().any(is_named) {
            return self.push(was, is, String::new(), true);
        }
        if !self.variables.is_auto || (was != is && self.values.contains(is)) {
            return;
        }
        let (name, parent) = names::of_path(path);
        if is_text && (was.starts_with('/') || was.contains("://")) {
            self.path(was, is);
        } else if is_text || matches!(Name::read(name), Name::Id(_)) {
            self.scalar(was, is, name, parent);
        }
    }

    fn scalar(&mut self, was: &str, is: &str, name: &str, parent: &str) {
        let is_certain = is_certain(was);
        match Name::read(name) {
            Name::Once => {}
            Name::Id(kind) if !kind.is_empty() && kind != self.collection && kind != noun(parent) => {
                self.reference(was, is, if is_certain { String::new() } else { kind });
            }
            Name::Id(_) | Name::Made(_) if is_certain => self.push(was, is, String::new(), true),
            Name::Id(kind) if kind.is_empty() => self.push(was, is, names::own_kind(parent, &self.collection), true),
            Name::Id(kind) | Name::Made(kind) => self.push(was, is, kind, true),
            Name::Other(_) if is_certain => self.push(was, is, String::new(), false),
            Name::Other(_) => {}
        }
    }

    /// Learns the id of another thing: what is known of it stays, and what only reads makes none.
    fn reference(&mut self, was: &str, is: &str, noun: String) {
        if !self.variables.has_id(was, &noun) {
            self.push(was, is, noun, self.is_mutation);
        }
    }
}
