//! A table is the one place that names a field: its type, its bounds, its default and what it is for.
//!
//! Reading, defaults and the schema all come from it.

use super::error::{Place, Problems};
use super::kind::{Kind, later};
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use serde_json::{Map, Value};

/// The fields of one object.
pub(super) trait Table: Sized {
    /// Lists the names of the fields that mean something, in the order of the table.
    fn names() -> Vec<&'static str>;

    /// Lists the names of fields of features to come, which are accepted at their defaults and never offered.
    fn later_names() -> Vec<&'static str>;

    /// Reads the fields of `object` that this table knows; the others are not looked at.
    fn read_known(object: &Map<String, Value>, place: &Place<'_>, problems: &mut Problems) -> Self;

    /// Gives the table with every field written: what was not has its default.
    fn filled(&self) -> Self;

    /// Lists the fields that are written in both and differ.
    fn contradictions(&self, other: &Self) -> Vec<&'static str>;

    /// Describes every field, by its name.
    #[cfg(feature = "schema")]
    fn properties() -> Map<String, Value>;

    /// Describes the object.
    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({"type": "object", "additionalProperties": false, "properties": Self::properties()})
    }
}

/// Two tables over one object.
impl<A: Table, B: Table> Table for (A, B) {
    fn names() -> Vec<&'static str> {
        let mut names = A::names();
        names.extend(B::names());
        names
    }

    fn later_names() -> Vec<&'static str> {
        let mut names = A::later_names();
        names.extend(B::later_names());
        names
    }

    fn read_known(object: &Map<String, Value>, place: &Place<'_>, problems: &mut Problems) -> Self {
        (
            A::read_known(object, place, problems),
            B::read_known(object, place, problems),
        )
    }

    fn filled(&self) -> Self {
        (self.0.filled(), self.1.filled())
    }

    fn contradictions(&self, other: &Self) -> Vec<&'static str> {
        let mut names = self.0.contradictions(&other.0);
        names.extend(self.1.contradictions(&other.1));
        names
    }

    #[cfg(feature = "schema")]
    fn properties() -> Map<String, Value> {
        let mut properties = A::properties();
        properties.extend(B::properties());
        properties
    }
}

/// An object whose fields are in a table.
pub(super) struct TableKind<T>(PhantomData<T>);

/// Allows an object with the fields of `T` and no others.
pub(super) const fn table<T>() -> TableKind<T> {
    TableKind(PhantomData)
}

impl<T: Table> Kind for TableKind<T> {
    type Out = T;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<T> {
        let object = known_object(value, T::names, T::later_names, place, problems)?;
        Some(T::read_known(object, place, problems))
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        T::schema()
    }

    #[cfg(feature = "schema")]
    fn write(&self, _out: &T) -> Option<Value> {
        None
    }
}

/// Takes `value` as an object, noting the fields that are neither among `names` nor among `later`.
fn known_object<'a>(
    value: &'a Value,
    names: fn() -> Vec<&'static str>,
    later: fn() -> Vec<&'static str>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<&'a Map<String, Value>> {
    let Some(object) = value.as_object() else {
        problems.refuse(place, value, format_args!("is not an object"));
        return None;
    };
    let (names, later) = (names(), later());
    let is_known = |name: &str| names.contains(&name) || later.contains(&name);
    for name in object.keys().filter(|name| !is_known(name)) {
        let allowed = names.join(", ");
        problems.add(&place.field(name), format_args!("is not known; allowed: {allowed}"));
    }
    Some(object)
}

/// Reads the field `name` of `object`, if it is there.
///
/// One for all kinds of one type: the readers of a document are many, and run once.
#[cold]
pub(super) fn read_field<T>(
    kind: &dyn Kind<Out = T>,
    name: &'static str,
    object: &Map<String, Value>,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<T> {
    let name = plain(name);
    kind.read(object.get(name)?, &place.field(name), problems)
}

/// Checks the fields of features that are not built yet: name and the JSON of the only value that is accepted.
#[cold]
pub(super) fn check_later(
    fields: &[(&'static str, &'static str)],
    object: &Map<String, Value>,
    place: &Place<'_>,
    problems: &mut Problems,
) {
    for (name, only) in fields {
        if let Some(value) = object.get(*name) {
            later(&only_value(only), value, &place.field(name), problems);
        }
    }
}

/// Reads the only value of a field as it stands in the table.
pub(super) fn only_value(json: &'static str) -> Value {
    // As bytes, like the document: the parser is there once.
    serde_json::from_slice(json.as_bytes()).unwrap_or_default()
}

/// Takes the marks of raw identifiers off.
#[cold]
pub(super) fn plain_names(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().map(plain).collect()
}

/// Takes the mark of a raw identifier off, so that a field may be called `match`.
pub(super) fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Puts description and default into a field's schema.
#[cfg(feature = "schema")]
pub(super) fn describe<K: Kind>(kind: &K, default: &K::Out, about: &[&str]) -> Value {
    let mut schema = kind.schema();
    if let Some(fields) = schema.as_object_mut() {
        let about = about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        fields.insert("description".into(), about.into());
        if let Some(default) = kind.write(default) {
            fields.insert("default".into(), default);
        }
    }
    schema
}

/// Declares a table: a struct of what was written, with a method per field that falls back to its default.
///
/// Shape: `/// what it is for` `name: type = kind, default;`, then under `later` the fields of features that are not
/// built yet, each with the only value that it accepts, in JSON (so numbers are written without underscores).
macro_rules! fields {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $table:ident {
            $( $(#[doc = $about:literal])+ $field:ident: $type:ty = $kind:expr, $default:expr; )*
        }
        later { $( $later:ident = $only:tt; )* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq)]
        $vis struct $table {
            $( $(#[doc = $about])+ $vis $field: Option<$type>, )*
        }

        impl $table {
            $( $(#[doc = $about])+ $vis fn $field(&self) -> $type { self.$field.clone().unwrap_or_else(|| $default) } )*
        }

        impl $crate::config::table::Table for $table {
            fn names() -> alloc::vec::Vec<&'static str> {
                $crate::config::table::plain_names(&[$(stringify!($field),)*])
            }

            fn later_names() -> alloc::vec::Vec<&'static str> {
                alloc::vec![$(stringify!($later),)*]
            }

            fn read_known(
                object: &serde_json::Map<alloc::string::String, serde_json::Value>,
                place: &$crate::config::error::Place<'_>,
                problems: &mut $crate::config::error::Problems,
            ) -> Self {
                let later = &[$((stringify!($later), stringify!($only)),)*];
                $crate::config::table::check_later(later, object, place, problems);
                Self { $(
                    $field: $crate::config::table::read_field(
                        const { &$kind }, stringify!($field), object, place, problems,
                    ),
                )* }
            }

            fn filled(&self) -> Self {
                Self { $( $field: Some(self.$field()), )* }
            }

            fn contradictions(&self, other: &Self) -> alloc::vec::Vec<&'static str> {
                let mut names = alloc::vec::Vec::new();
                $(
                    if self.$field.is_some() && other.$field.is_some() && self.$field != other.$field {
                        names.push($crate::config::table::plain(stringify!($field)));
                    }
                )*
                names
            }

            #[cfg(feature = "schema")]
            fn properties() -> serde_json::Map<alloc::string::String, serde_json::Value> {
                let mut properties = serde_json::Map::new();
                $( properties.insert(
                    $crate::config::table::plain(stringify!($field)).into(),
                    $crate::config::table::describe(&$kind, &$default, &[$($about),+]),
                ); )*
                $( properties.insert(
                    stringify!($later).into(),
                    $crate::config::kind::later_schema(&$crate::config::table::only_value(stringify!($only))),
                ); )*
                properties
            }
        }
    };
}
pub(super) use fields;
