//! What the proxy has to prove about callers, where the document asks for it.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::PrincipalSource;

/// Checks that whoever verifies tokens leaves what is in them.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    let wants_tokens = |source: &PrincipalSource| *source == PrincipalSource::Jwt;
    if !scene
        .document()
        .is_some_and(|document| document.principal.iter().any(wants_tokens))
    {
        return;
    }
    let verifiers: Vec<_> = scene
        .before
        .iter()
        .filter(|filter| filter.is_kind(&["jwt_authn"]))
        .collect();
    if verifiers.is_empty() {
        let text = "the principal is the subject of a token, and no jwt_authn stands before Reprise: without one all \
                    callers are anonymous";
        report.warn(&scene.filter.place, text);
    }
    for provider in verifiers.into_iter().flat_map(providers) {
        if provider.text("payload_in_metadata").is_none_or(str::is_empty) {
            let text = "has no payload_in_metadata: Reprise would not see whose token it is, and all callers would \
                        share their keys";
            report.error(&provider.place, text);
        }
    }
}

fn providers<'a>(verifier: &Node<'a>) -> Vec<Node<'a>> {
    let settings = verifier.settings();
    let providers = settings.and_then(|settings| settings.field("providers"));
    providers.map(|providers| providers.children()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, filters, sound, warnings};
    use serde_json::{Value, json};

    fn by_token(envoy: &mut Value, provider: &Value) {
        document(envoy)["principal"] = json!(["jwt"]);
        let verifier = json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"test": provider}}});
        filters(envoy).insert(0, verifier);
    }

    #[test]
    fn whoever_verifies_tokens_leaves_what_is_in_them() {
        sound(|envoy| by_token(envoy, &json!({"payload_in_metadata": "payload"})));
        errors(
            |envoy| by_token(envoy, &json!({"issuer": "x"})),
            "has no payload_in_metadata",
        );
        errors(
            |envoy| by_token(envoy, &json!({"payload_in_metadata": ""})),
            "has no payload_in_metadata",
        );
    }

    #[test]
    fn somebody_has_to_verify_tokens() {
        warnings(
            |envoy| document(envoy)["principal"] = json!(["authorization", "jwt"]),
            "no jwt_authn stands before Reprise",
        );
    }
}
