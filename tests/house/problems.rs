//! The page "What to do when": it has a section for whatever clients and alerts point at.

use super::sources::{assert_none, read};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = "docs/problems.md";
/// What each problem's section has to say.
const SAID: [&str; 3] = ["- **Ran:** ", "- **Client:** ", "- **Operator:** "];

/// Reads the last parts of all problems' types off the function that names them.
fn slugs() -> BTreeSet<String> {
    let source = read("src/core/problem.rs");
    let named = source
        .split("fn slug(")
        .nth(1)
        .unwrap()
        .split("fn title(")
        .next()
        .unwrap();
    named.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Reads the sections below `heading` of the page, by their names.
fn sections(heading: &str) -> BTreeMap<String, String> {
    let page = read(PAGE);
    let part = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let section = |text: &str| {
        let (name, body) = text.split_once('\n')?;
        Some((name.to_owned(), body.to_owned()))
    };
    part.split("\n### ").skip(1).filter_map(section).collect()
}

fn anchors() -> BTreeSet<String> {
    let all = ["Problems", "Alerts"].map(sections);
    all.into_iter().flat_map(BTreeMap::into_keys).collect()
}

/// Gives the address of the page, as the reference configuration has it.
fn address() -> String {
    let reference = read("envoy/envoy.yaml");
    let address = reference.split("docs_url: \"").nth(1).unwrap();
    address.split('"').next().unwrap().to_owned()
}

fn alerts() -> Vec<Value> {
    let alerts: Value = serde_saphyr::from_str(&read("envoy/alerts.yaml")).unwrap();
    let groups = alerts["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn each_problem_has_a_section_and_each_section_a_problem() {
    let sections = sections("Problems");
    assert_eq!(sections.keys().cloned().collect::<BTreeSet<_>>(), slugs());
    let lacks = |(name, body): (&String, &String)| {
        let silent = SAID.iter().filter(|said| !body.contains(**said));
        silent.map(|said| format!("{name}: no {said}")).collect::<Vec<_>>()
    };
    assert_none(
        "each problem's section",
        &sections.iter().flat_map(lacks).collect::<Vec<_>>(),
    );
}

#[test]
fn each_problem_is_in_the_tables() {
    let mut found = Vec::new();
    for (file, table) in [("README.md", "| `SLUG` |"), (PAGE, "| [`SLUG`](#SLUG) |")] {
        let text = read(file);
        let rows = slugs()
            .into_iter()
            .filter(|slug| !text.contains(&table.replace("SLUG", slug)));
        found.extend(rows.map(|slug| format!("{file}: no row of {slug}")));
    }
    assert_none("every problem is in the tables of problems", &found);
}

#[test]
fn links_within_the_page_lead_somewhere() {
    let (page, anchors) = (read(PAGE), anchors());
    let links = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    let dead = links.filter(|link| !anchors.contains(*link)).map(str::to_owned);
    assert_none("no section of this name", &dead.collect::<Vec<_>>());
}

#[test]
fn the_reference_configurations_point_at_the_page() {
    let address = address();
    assert!(address.ends_with(PAGE), "{address}");
    for file in ["envoy/istio.yaml", "envoy/envoy-gateway.yaml"] {
        assert!(read(file).contains(&format!("docs_url: \"{address}\"")), "{file}");
    }
}

#[test]
fn each_alert_says_what_is_the_matter_and_leads_to_a_section() {
    let (address, anchors) = (address(), anchors());
    let is_wrong = |alert: &Value| {
        let told = &alert["annotations"];
        let link = told["runbook_url"].as_str().unwrap_or_default();
        let anchor = link.strip_prefix(&address).and_then(|rest| rest.strip_prefix('#'));
        let leads = anchor.is_some_and(|anchor| anchors.contains(anchor));
        !leads || !told["summary"].is_string() || !alert["labels"]["severity"].is_string()
    };
    let wrong: Vec<_> = alerts()
        .into_iter()
        .filter(is_wrong)
        .map(|alert| alert.to_string())
        .collect();
    assert_none("an alert has a severity, a summary and a runbook_url", &wrong);
}

#[test]
fn each_section_about_an_alert_is_one_that_an_alert_leads_to() {
    let alerts = read("envoy/alerts.yaml");
    let names = sections("Alerts").into_keys();
    let unused: Vec<_> = names.filter(|name| !alerts.contains(&format!("#{name}\n"))).collect();
    assert_none("no alert leads here", &unused);
}

#[test]
fn the_dashboard_imports_wherever_there_is_a_prometheus() {
    let dashboard: Value = serde_json::from_str(&read("envoy/grafana.json")).unwrap();
    assert_eq!(dashboard["templating"]["list"][0]["name"], "datasource");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    let bound = shown.filter(|panel| panel["datasource"]["uid"] != "${datasource}");
    let bound: Vec<_> = bound.map(|panel| panel["title"].to_string()).collect();
    assert_none("a panel asks the data source that was chosen", &bound);
}
