//! Envoy's statistics, as Prometheus reads them.

use std::collections::HashMap;

/// One scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats(HashMap<String, f64>);

impl Stats {
    /// Reads the text format of `/stats/prometheus`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.replace("{}", ""), value.parse().ok()?))
        };
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// Gives a sample by its full name, as in `reprise_requests_total{outcome="miss"}`; 0 if it is not there.
    #[must_use]
    pub fn value(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Gives the requests that ended with this outcome.
    #[must_use]
    pub fn outcome(&self, outcome: &str) -> f64 {
        self.value(&format!("reprise_requests_total{{outcome=\"{outcome}\"}}"))
    }

    /// Gives the names of all samples that begin with `prefix`, sorted.
    #[must_use]
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<_> = self
            .0
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort_unstable();
        names
    }
}
