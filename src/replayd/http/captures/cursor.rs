//! Where the next page of a list begins.

use crate::app::listing::{self, ORDERS};
use crate::store::captures::{CaptureOrder as Order, Cursor};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Writes where the next page begins.
///
/// Shape: unpadded base64url of `<order>:<value>:<number>`; nobody but [`read`] may read it.
pub(super) fn write(order: Order, place: Cursor) -> String {
    let sign = if order.descending { "-" } else { "" };
    let name = ORDERS.iter().find(|(_, by)| *by == order.by);
    let name = name.map_or("id", |(name, _)| *name);
    URL_SAFE_NO_PAD.encode(format!("{sign}{name}:{}:{}", place.value, place.id))
}

/// Reads what [`write()`] wrote.
pub(super) fn read(text: &str) -> Result<(Order, Cursor), String> {
    let find = || {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (order, place) = plain.split_once(':')?;
        let (value, id) = place.split_once(':')?;
        let place = Cursor {
            value: value.parse().ok()?,
            id: id.parse().ok()?,
        };
        Some((listing::order(order).ok()?, place))
    };
    find().ok_or_else(|| "it was not given by a page before".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_with_its_order() {
        for (text, _) in ORDERS {
            for text in [text.to_owned(), format!("-{text}")] {
                let (order, place) = (listing::order(&text).unwrap(), Cursor { value: -7, id: 9 });
                assert_eq!(read(&write(order, place)), Ok((order, place)), "{text}");
            }
        }
    }

    #[test]
    fn what_no_page_gave_is_no_cursor() {
        for text in ["", "x", "aWQ6MQ", "aWQ6MTp4", "ZHVtOjE6Mg"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
