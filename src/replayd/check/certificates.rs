//! Whether the listener knows whose certificate it is shown, where the document names callers by theirs.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::PrincipalSource;

/// What says whom a listener believes; one of them is enough.
const AUTHORITIES: [&str; 6] = [
    "trusted_ca",
    "system_root_certs",
    "ca_certificate_provider_instance",
    "custom_validator_config",
    "verify_certificate_hash",
    "verify_certificate_spki",
];

/// Checks that nobody can name himself by a certificate of his own.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    let document = scene.document();
    if !document.is_some_and(|document| document.principal.contains(&PrincipalSource::Mtls)) {
        return;
    }
    let chains = scene.filter_chains();
    if chains.is_empty() {
        let text = "the principal is the name in a client's certificate, and the listener is not shown here: see that it \
                    verifies certificates against a trusted_ca";
        return report.warn(&scene.manager.place, text);
    }
    for chain in chains {
        check_chain(scene, &chain, report);
    }
}

fn check_chain(scene: &Scene<'_>, chain: &Node<'_>, report: &mut Report) {
    let Some(context) = chain.field("transport_socket").as_ref().and_then(downstream) else {
        let text = "the principal is the name in a client's certificate, and this listener speaks no TLS: all callers \
                    would be anonymous";
        return report.error(&chain.place, text);
    };
    match believed(scene, &context) {
        Believed::Nobody => {
            let text = "has no trusted_ca: Envoy then asks nobody for a certificate, even with \
                        require_client_certificate: true, and all callers would be anonymous";
            report.error(&context.place, text);
        }
        Believed::Anybody(place) => {
            let text =
                "trust_chain_verification: ACCEPT_UNTRUSTED lets every client name itself by a certificate of its own";
            report.error(&place, text);
        }
        Believed::Signed | Believed::Unseen if !context.is_true("require_client_certificate") => {
            let text = "require_client_certificate is not true: callers that show no certificate are anonymous";
            report.note(&context.place, text);
        }
        Believed::Signed | Believed::Unseen => {}
    }
}

/// Gives the settings of TLS, of TCP or of QUIC.
fn downstream<'a>(socket: &Node<'a>) -> Option<Node<'a>> {
    let settings = socket.settings()?;
    let context = settings.field("downstream_tls_context").unwrap_or(settings);
    socket.is_kind(&["tls", "quic"]).then_some(context)
}

/// Whose certificates count.
enum Believed {
    /// No certificate is asked for.
    Nobody,
    /// Those that an authority has signed, or that are listed.
    Signed,
    /// Whatever is shown; where that is said.
    Anybody(String),
    /// Those that a secret from elsewhere says.
    Unseen,
}

fn believed(scene: &Scene<'_>, context: &Node<'_>) -> Believed {
    let (shown, is_elsewhere) = validations(scene, context);
    let untrusted = |shown: &&Node<'_>| shown.text("trust_chain_verification") == Some("ACCEPT_UNTRUSTED");
    if let Some(anybody) = shown.iter().find(untrusted) {
        return Believed::Anybody(anybody.place.clone());
    }
    let says = |shown: &Node<'_>| {
        AUTHORITIES
            .iter()
            .any(|name| shown.field(name).as_ref().is_some_and(is_given))
    };
    match (shown.iter().any(says), is_elsewhere) {
        (true, _) => Believed::Signed,
        (false, true) => Believed::Unseen,
        (false, false) => Believed::Nobody,
    }
}

/// Tells whether a list is not empty; anything else is given by being there.
fn is_given(field: &Node<'_>) -> bool {
    field.value.as_array().is_none_or(|list| !list.is_empty())
}

/// Lists what a context says about the certificates of others, and whether more of it comes from elsewhere.
fn validations<'a>(scene: &Scene<'a>, context: &Node<'a>) -> (Vec<Node<'a>>, bool) {
    let Some(tls) = context.field("common_tls_context") else {
        return (Vec::new(), false);
    };
    let combined = tls.field("combined_validation_context");
    let default = combined
        .as_ref()
        .and_then(|both| both.field("default_validation_context"));
    let own = tls.field("validation_context");
    let named = [&tls].into_iter().chain(&combined);
    let named: Vec<&str> = named
        .filter_map(|place| place.field("validation_context_sds_secret_config")?.text("name"))
        .collect();
    let listed: Vec<Node<'a>> = named.iter().filter_map(|name| secret(scene, name)).collect();
    let is_elsewhere = listed.len() < named.len();
    (own.into_iter().chain(default).chain(listed).collect(), is_elsewhere)
}

/// Finds what a secret of the configuration says about the certificates of others.
fn secret<'a>(scene: &Scene<'a>, name: &str) -> Option<Node<'a>> {
    let secrets = scene.root.field("static_resources")?.items("secrets");
    let secret = secrets.into_iter().find(|secret| secret.text("name") == Some(name))?;
    secret.field("validation_context")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, noted, sound};
    use super::super::{Report, check};
    use serde_json::{Value, json};

    /// Names callers by their certificates, on a listener that speaks TLS like this.
    fn by_certificate(envoy: &mut Value, context: &Value) {
        document(envoy)["principal"] = json!(["mtls"]);
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        let mut config = json!({"@type": kind, "require_client_certificate": true});
        config["common_tls_context"] = context.clone();
        chain(envoy)["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": config});
    }

    fn chain(envoy: &mut Value) -> &mut Value {
        &mut envoy["static_resources"]["listeners"][0]["filter_chains"][0]
    }

    fn trusted() -> Value {
        json!({"trusted_ca": {"filename": "ca.pem"}})
    }

    #[test]
    fn a_listener_that_verifies_certificates_is_sound() {
        sound(|envoy| by_certificate(envoy, &json!({"validation_context": trusted()})));
        let pinned = json!({"validation_context": {"verify_certificate_spki": ["x"]}});
        sound(|envoy| by_certificate(envoy, &pinned));
        let combined = json!({"combined_validation_context": {"default_validation_context": trusted(),
            "validation_context_sds_secret_config": {"name": "elsewhere"}}});
        sound(|envoy| by_certificate(envoy, &combined));
    }

    #[test]
    fn a_listener_that_trusts_nobody_is_an_error() {
        let lacks = "has no trusted_ca: Envoy then asks nobody for a certificate";
        for context in [
            json!({}),
            json!({"validation_context": {}}),
            json!({"validation_context": {"verify_certificate_hash": []}}),
        ] {
            errors(|envoy| by_certificate(envoy, &context), lacks);
        }
    }

    #[test]
    fn a_listener_that_takes_any_certificate_is_an_error() {
        let mut context = trusted();
        context["trust_chain_verification"] = json!("ACCEPT_UNTRUSTED");
        errors(
            |envoy| by_certificate(envoy, &json!({"validation_context": context})),
            "lets every client name itself",
        );
    }

    #[test]
    fn a_listener_without_tls_is_an_error() {
        errors(
            |envoy| document(envoy)["principal"] = json!(["authorization", "mtls"]),
            "this listener speaks no TLS",
        );
    }

    #[test]
    fn what_a_secret_says_counts_and_one_from_elsewhere_is_not_judged() {
        let by_secret = json!({"validation_context_sds_secret_config": {"name": "authority"}});
        sound(|envoy| by_certificate(envoy, &by_secret));
        errors(
            |envoy| {
                by_certificate(envoy, &by_secret);
                envoy["static_resources"]["secrets"] = json!([{"name": "authority", "validation_context": {}}]);
            },
            "has no trusted_ca",
        );
    }

    #[test]
    fn callers_without_a_certificate_are_noted_where_it_is_optional() {
        noted(
            |envoy| {
                by_certificate(envoy, &json!({"validation_context": trusted()}));
                drop(chain(envoy)["transport_socket"]["typed_config"]["require_client_certificate"].take());
            },
            "callers that show no certificate are anonymous",
        );
    }

    #[test]
    fn a_listener_that_is_not_shown_is_a_warning() {
        let manifest =
            super::super::testing::ISTIO.replace(r#"{"version": 1}"#, r#"{"version": 1, "principal": ["mtls"]}"#);
        let report: Report = check(&manifest, "istio.yaml");
        assert!(
            report.is_ok() && report.to_string().contains("the listener is not shown here"),
            "{report}"
        );
    }
}
