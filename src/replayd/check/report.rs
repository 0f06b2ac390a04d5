//! What a check found.

use reprise_core::config::ConfigErrors;
use serde::Serialize;
use std::fmt;

/// What a check found, by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file that was checked, as the caller names it.
    pub file: String,
    /// What must not go into service.
    pub errors: Vec<Finding>,
    /// What weakens a promise, or surprises.
    pub warnings: Vec<Finding>,
    /// What is good to know.
    pub notes: Vec<Finding>,
}

/// One thing that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The field, as in `static_resources.listeners[0]`; `document` for the whole of the file.
    pub place: String,
    /// What is the matter, and what to do.
    pub text: String,
}

impl Finding {
    fn new(place: &str, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }
}

impl Report {
    /// Starts a report that has found nothing.
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            errors: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Tells whether there are no errors.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn error(&mut self, place: &str, text: impl Into<String>) {
        self.errors.push(Finding::new(place, text));
    }

    pub(super) fn warn(&mut self, place: &str, text: impl Into<String>) {
        self.warnings.push(Finding::new(place, text));
    }

    pub(super) fn note(&mut self, place: &str, text: impl Into<String>) {
        self.notes.push(Finding::new(place, text));
    }

    /// Takes over the problems of a document that stands at `place`; empty = the file is the document.
    pub(super) fn document_errors(&mut self, place: &str, errors: ConfigErrors) {
        for error in errors.0 {
            let place = if place.is_empty() {
                error.path
            } else {
                format!("{place}: {}", error.path)
            };
            self.error(&place, error.problem);
        }
    }
}

impl fmt::Display for Report {
    /// Writes one finding a line, errors first, and how many there are.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (weight, findings) in [
            ("error", &self.errors),
            ("warning", &self.warnings),
            ("note", &self.notes),
        ] {
            for Finding { place, text } in findings {
                writeln!(out, "{}: {weight}: {place}: {text}", self.file)?;
            }
        }
        let counts = [
            counted(self.errors.len(), "error"),
            counted(self.warnings.len(), "warning"),
            counted(self.notes.len(), "note"),
        ];
        writeln!(out, "{}: {}", self.file, counts.join(", "))
    }
}

/// Writes `count` of `things`: 1 error, 2 errors.
fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_written_first_and_the_verdict_last() {
        let mut report = Report::new("a.yaml");
        report.note("x", "n");
        report.warn("x", "w");
        report.error("x", "e");
        assert_eq!(
            report.to_string(),
            "a.yaml: error: x: e\na.yaml: warning: x: w\na.yaml: note: x: n\na.yaml: 1 error, 1 warning, 1 note\n"
        );
        assert_eq!(
            Report::new("b.yaml").to_string(),
            "b.yaml: 0 errors, 0 warnings, 0 notes\n"
        );
        assert!(!report.is_ok());
    }

    #[test]
    fn a_report_is_json_too() {
        let mut report = Report::new("a.yaml");
        report.error("x", "e");
        let want =
            serde_json::json!({"file": "a.yaml", "errors": [{"place": "x", "text": "e"}], "warnings": [], "notes": []});
        assert_eq!(serde_json::to_value(report).unwrap(), want);
    }
}
