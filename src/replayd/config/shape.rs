//! A TOML text as what it should be, with everything in it that does not fit: serde stops at the first such thing.

use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

/// Reads `text`, without what does not fit: each such thing is told to `wrong`, with its place.
///
/// Gives nothing where the text is no TOML, or where what does not fit cannot be left out.
pub(super) fn read<T: DeserializeOwned>(text: &str, wrong: &mut dyn FnMut(String, Range<usize>)) -> Option<T> {
    let mut tree = match DeTable::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            wrong(error.message().to_owned(), error.span().unwrap_or_default());
            return None;
        }
    };
    // Each round leaves something out, so that it ends.
    loop {
        let error = match T::deserialize(Deserializer::from(tree.clone())) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let place = error.span().unwrap_or_default();
        wrong(error.message().to_owned(), place.clone());
        if !leave_out(tree.get_mut(), &place) {
            return None;
        }
    }
}

/// Leaves out the entry whose key or value stands at `place`; tells whether there is one.
fn leave_out(table: &mut DeTable<'_>, place: &Range<usize>) -> bool {
    let entry = table
        .iter()
        .find(|(key, value)| key.span() == *place || value.span() == *place);
    if let Some(key) = entry.map(|(key, _)| key.clone()) {
        return table.remove(&key).is_some();
    }
    table.iter_mut().any(|(_, value)| leave_out_below(value, place))
}

fn leave_out_below(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => leave_out(table, place),
        DeValue::Array(items) => {
            let kept: DeArray<'_> = items.iter().filter(|item| item.span() != *place).cloned().collect();
            if kept.len() < items.len() {
                *items = kept;
                return true;
            }
            items.iter_mut().any(|item| leave_out_below(item, place))
        }
        _ => false,
    }
}
