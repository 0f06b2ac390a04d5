//! What an expression of Prometheus names: metrics, what it asks of their labels, and labels that it groups by.
//!
//! As much of the language as dashboards and alert rules need; it computes nothing.

use std::collections::BTreeSet;

/// Words before a list of labels in parentheses.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words between expressions.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Its metrics, in their order.
    pub(super) selectors: Vec<Selector>,
    /// The labels that it groups by.
    pub(super) labels: BTreeSet<String>,
}

/// A metric, and what is asked of its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    /// The metric's name.
    pub(super) metric: String,
    /// Labels with the values that they are compared with.
    pub(super) matchers: Vec<Matcher>,
}

/// A label, and what it is compared with; `!=` asks for a value that there is as well as `=` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matcher {
    /// The label.
    pub(super) label: String,
    /// Whether the value is a pattern.
    pub(super) is_pattern: bool,
    /// The value.
    pub(super) value: String,
}

impl Matcher {
    /// Tells whether `value` is meant; a pattern is a list of values with `|` between them, each with `.+` at its end or not.
    pub(super) fn wants(&self) -> Vec<&str> {
        if self.is_pattern {
            self.value.split('|').collect()
        } else {
            vec![&self.value]
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Reads an expression, or a line of a scrape.
pub(super) fn read(expression: &str) -> Named {
    let tokens = tokens(expression);
    let (mut named, mut at) = (Named::default(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else { continue };
        let next = tokens.get(at);
        if GROUPING.contains(&word.as_str()) {
            let (labels, after) = until(&tokens, at, ')');
            named.labels.extend(labels.iter().filter_map(word_of));
            at = after;
        } else if OPERATORS.contains(&word.as_str()) || is_function(next) {
            // It names nothing that is exported.
        } else if next == Some(&Token::Sign('{')) {
            let (inside, after) = until(&tokens, at, '}');
            named.selectors.push(selector(word, inside));
            at = after;
        } else {
            named.selectors.push(selector(word, &[]));
        }
    }
    named
}

/// Tells by what follows a word whether it is a function: `rate(…)`, `sum by (…) (…)`.
fn is_function(next: Option<&Token>) -> bool {
    let is_grouped = |word: &String| GROUPING[..2].contains(&word.as_str());
    next.is_some_and(|next| match next {
        Token::Word(word) => is_grouped(word),
        Token::Sign(sign) => *sign == '(',
        Token::Text(_) => false,
    })
}

fn until(tokens: &[Token], from: usize, sign: char) -> (&[Token], usize) {
    let rest = &tokens[from..];
    let len = rest.iter().position(|token| *token == Token::Sign(sign));
    let len = len.unwrap_or(rest.len());
    (&rest[..len], from + len)
}

fn word_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.clone()),
        Token::Text(_) | Token::Sign(_) => None,
    }
}

fn selector(metric: &str, inside: &[Token]) -> Selector {
    let matchers = inside.split(|token| *token == Token::Sign(','));
    Selector {
        metric: metric.to_owned(),
        matchers: matchers.filter_map(matcher).collect(),
    }
}

fn matcher(tokens: &[Token]) -> Option<Matcher> {
    let label = tokens.iter().find_map(word_of)?;
    let Some(Token::Text(value)) = tokens.last() else {
        panic!("{label} is compared with nothing");
    };
    Some(Matcher {
        label,
        is_pattern: tokens.contains(&Token::Sign('~')),
        value: value.clone(),
    })
}

/// Cuts an expression up; ranges in brackets, numbers and durations are left out.
fn tokens(expression: &str) -> Vec<Token> {
    let mut rest = expression.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let is_part = |char: char| char.is_ascii_alphanumeric() || "_:.".contains(char);
        let len = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let (token, len) = match first {
            '"' => quoted(rest),
            '[' => (None, rest.find(']').map_or(rest.len(), |end| end + 1)),
            '0'..='9' => (None, len),
            _ if len > 0 => (Some(Token::Word(rest[..len].to_owned())), len),
            other => (Some(Token::Sign(other)), other.len_utf8()),
        };
        tokens.extend(token);
        rest = rest[len..].trim_start();
    }
    tokens
}

fn quoted(rest: &str) -> (Option<Token>, usize) {
    let len = rest[1..].find('"').unwrap_or_else(|| panic!("no end of {rest}"));
    (Some(Token::Text(rest[1..=len].to_owned())), len + 2)
}

#[test]
fn an_expression_names_metrics_and_labels_and_no_functions() {
    let named = read("sum by (a, le) (rate(x_total{b=\"1\", c=~\"u|v.+\"}[5m])) / 1e3 > on (d) y unless z offset 5m");
    let metrics: Vec<_> = named.selectors.iter().map(|each| each.metric.as_str()).collect();
    assert_eq!(metrics, ["x_total", "y", "z"]);
    assert_eq!(named.labels, ["a", "d", "le"].map(str::to_owned).into());
    let [one, several] = &named.selectors[0].matchers[..] else {
        panic!("{named:?}")
    };
    assert_eq!((one.label.as_str(), one.wants()), ("b", vec!["1"]));
    assert_eq!((several.label.as_str(), several.wants()), ("c", vec!["u", "v.+"]));
}
