//! What has to hold for any bytes that somebody calls a file: for the fuzzer, and for tests here.

use super::exchange::check_request;
use super::{ExportFormat, Exporter, ImportFormat, import, unsendable};
use crate::store::Capture;
use clap::ValueEnum as _;

/// Takes bytes as a file of each format; what comes out goes into files of every format, and comes back.
///
/// The first byte picks the format, so that a search can find it.
#[cfg_attr(
    feature = "fuzzing",
    expect(
        clippy::missing_panics_doc,
        reason = "it panics where anything does not hold: that is what it is for"
    )
)]
#[cfg_attr(
    not(feature = "fuzzing"),
    expect(unreachable_pub, reason = "only the fuzzer's build shows it")
)]
pub fn try_any(bytes: &[u8]) {
    let Some((pick, file)) = bytes.split_first() else {
        return;
    };
    let formats = ImportFormat::value_variants();
    let Some(format) = formats.get(usize::from(*pick) % formats.len()) else {
        return;
    };
    match import(*format, file) {
        Ok(found) => try_all(&found.captures),
        Err(error) => assert!(error.at.is_none_or(|at| at <= file.len()), "{error}"),
    }
}

fn try_all(captures: &[Capture]) {
    for format in ExportFormat::value_variants() {
        let (mut file, mut exporter) = (Vec::new(), Exporter::new(*format));
        let told: Result<(), _> = captures
            .iter()
            .try_for_each(|capture| exporter.push(capture, &mut file));
        let told = told.and_then(|()| exporter.finish(&mut file));
        let there = told.map_or(u64::MAX, |counts| counts.captures);
        let (back, kept): (_, Vec<_>) = match format {
            ExportFormat::Ndjson => (ImportFormat::Ndjson, captures.iter().collect()),
            ExportFormat::Gor => (
                ImportFormat::Gor,
                captures.iter().filter(|each| unsendable(each).is_none()).collect(),
            ),
            ExportFormat::Har => {
                let has_url = |each: &&Capture| each.row.target.starts_with('/');
                (ImportFormat::Har, captures.iter().filter(has_url).collect())
            }
            ExportFormat::Curl | ExportFormat::K6 => continue,
        };
        let found = import(back, &file).map(|found| found.captures);
        assert_eq!(
            there,
            u64::try_from(kept.len()).unwrap_or_default(),
            "{format:?} counts"
        );
        if *format == ExportFormat::Ndjson {
            assert_eq!(found.as_deref(), Ok(captures));
        }
        let bodies = found
            .as_ref()
            .map(|found| sorted(found.iter().map(|each| &each.request.body)));
        assert_eq!(
            bodies,
            Ok(sorted(kept.into_iter().map(|each| &each.request.body))),
            "{format:?}"
        );
    }
    assert!(captures.iter().all(|each| check_request(&each.request.pairs).is_ok()));
}

fn sorted<'a>(bodies: impl Iterator<Item = &'a Vec<u8>>) -> Vec<&'a Vec<u8>> {
    let mut bodies: Vec<_> = bodies.collect();
    bodies.sort();
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{any_capture, written};
    use crate::store::django_testing::five;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static FIVE: LazyLock<Vec<u8>> = LazyLock::new(five);

    proptest! {
        #[test]
        fn whatever_comes_in_goes_out_and_comes_back(
            captures in vec(any_capture(), 0..3),
            pick in 0_u8..4,
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let formats = [ExportFormat::Ndjson, ExportFormat::Har, ExportFormat::Gor];
            let file = formats.get(usize::from(pick)).map_or_else(|| FIVE.clone(), |format| written(*format, &captures));
            let mut bytes = [&[pick][..], &file].concat();
            for (at, byte) in changes {
                let len = bytes.len();
                // The first byte picks.
                bytes.get_mut(at.index(len).max(1)).into_iter().for_each(|place| *place = byte);
            }
            try_any(&bytes);
        }
    }
}
