//! What a format does not carry, in words.

/// What a name of [`Counts::not_carried`](super::Counts) stands for.
enum Lack {
    /// A part of so many captures.
    Part(&'static str),
    /// So many captures as a whole.
    Whole(&'static str),
}

/// Every name, and what it stands for.
const NAMES: [(&str, Lack); 22] = [
    ("authority", Lack::Part("a host: none is known, localhost stands there")),
    ("body_hash", Lack::Part("hashes of bodies")),
    (
        "content_encoding",
        Lack::Part("encodings of bodies, which the file has unpacked"),
    ),
    ("context", Lack::Part("route, cluster, caller, addresses and boot id")),
    ("form_parts", Lack::Part("parts of forms")),
    ("form_spelling", Lack::Part("the spelling of forms")),
    ("framing", Lack::Part("the framing of bodies")),
    ("header_bytes", Lack::Part("bytes of headers that are not UTF-8")),
    ("labels", Lack::Part("labels")),
    ("malformed", Lack::Whole("that are not valid HTTP")),
    ("not_http", Lack::Whole("that are not HTTP")),
    ("not_replayable", Lack::Whole("that cannot be sent again")),
    ("protocol", Lack::Part("the version of the protocol")),
    ("redacted", Lack::Whole("whose body was redacted as a whole")),
    ("repeated_headers", Lack::Part("repeated headers, which are joined")),
    ("responses", Lack::Part("responses")),
    ("scheme", Lack::Part("the scheme https")),
    ("sealed", Lack::Part("sealed values")),
    ("target", Lack::Whole("whose target is not a path")),
    ("trailers", Lack::Part("trailers")),
    ("truncated", Lack::Whole("whose body was cut")),
    ("unfinished", Lack::Whole("whose request was not seen to its end")),
];

/// Says in words what was left behind; empty if nothing was.
pub(crate) fn say<'a>(not_carried: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let (mut parts, mut wholes) = (Vec::new(), Vec::new());
    for (name, count) in not_carried {
        match NAMES.iter().find(|(each, _)| *each == name) {
            Some((_, Lack::Whole(words))) => wholes.push(format!("{count} {words}")),
            Some((_, Lack::Part(words))) => parts.push(format!("{words} (of {count})")),
            None => parts.push(format!("{name} (of {count})")),
        }
    }
    let list = |what: &str, all: &[String]| format!("{what}: {}", all.join("; "));
    let said = [("left out", wholes), ("not carried", parts)];
    let said = said.iter().filter(|(_, all)| !all.is_empty());
    said.map(|(what, all)| list(what, all)).collect::<Vec<_>>().join(". ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_said_in_words() {
        let said = say([("context", 2), ("labels", 1), ("truncated", 3)]);
        let want = "left out: 3 whose body was cut. \
                    not carried: route, cluster, caller, addresses and boot id (of 2); labels (of 1)";
        assert_eq!((said.as_str(), say([]).as_str()), (want, ""));
    }
}
