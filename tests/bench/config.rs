//! Envoy's configuration: one listener for each variant, alike but for the HTTP filters.

mod detached;

use crate::message::{FILL_PATH, PATH};
use crate::row::{GROWTH_KEYS_MAX, Variant};
use serde_json::{Value, json};
use std::io;

/// Prefix of the types of Envoy's HTTP filters.
const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// Keys that a filter's store can hold. At 20,000 new keys a second that live for 5 s it is 40 % full, the most it is made for.
const KEYS_MAX: u32 = 262_144;

/// The modules that the filters run.
#[derive(Debug, Clone)]
pub(crate) struct Modules {
    /// Path of `reprise.wasm`.
    pub(crate) reprise: String,
    /// Path of the filter that does nothing.
    pub(crate) noop: String,
    /// Directory that Envoy's tap writes to.
    pub(crate) taps: String,
    /// Where replayd listens, and the file of the token that it wants; none if no row needs it.
    pub(crate) replayd: Option<(u16, String)>,
}

/// A listener to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// What its filters are.
    pub(crate) variant: Variant,
    /// Its port on the loopback.
    pub(crate) port: u16,
}

/// The whole bootstrap document.
pub(crate) fn bootstrap(places: &[Place], modules: &Modules, upstream_port: u16, admin_port: u16) -> io::Result<Value> {
    let listeners: Vec<Value> = places.iter().map(|place| listener(*place, modules)).collect();
    let mut bootstrap = json!({
        "admin": {"address": address(admin_port)},
        "static_resources": {
            "listeners": listeners,
            "clusters": [{
                "name": "upstream",
                "type": "STATIC",
                "connect_timeout": "1s",
                "per_connection_buffer_limit_bytes": 65_536,
                "load_assignment": {
                    "cluster_name": "upstream",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream_port)}}]}]
                }
            }]
        }
    });
    if let Some((port, token)) = &modules.replayd {
        add_replayd(&mut bootstrap, *port, token);
    }
    if places.iter().any(|place| place.variant == Variant::Detached) {
        detached::add(&mut bootstrap)?;
    }
    Ok(bootstrap)
}

/// The reference configuration's cluster of replayd, and the secret that it shows.
fn add_replayd(bootstrap: &mut Value, port: u16, token: &str) {
    let credential = json!({
        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "credential": {"name": "ingest"},
        "header_value_prefix": "Bearer "
    });
    let injector = json!({
        "name": "credential_injector",
        "typed_config": {
            "@type": format!("{FILTERS}.credential_injector.v3.CredentialInjector"),
            "overwrite": true,
            "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": credential}
        }
    });
    let codec = json!({
        "name": "codec",
        "typed_config": {"@type": format!("{FILTERS}.upstream_codec.v3.UpstreamCodec")}
    });
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": [injector, codec]
    });
    let cluster = json!({
        "name": "replayd",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "replayd",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    });
    let resources = &mut bootstrap["static_resources"];
    resources["secrets"] = json!([{"name": "ingest", "generic_secret": {"secret": {"filename": token}}}]);
    if let Some(clusters) = resources["clusters"].as_array_mut() {
        clusters.push(cluster);
    }
}

/// The limits and the header removal are the reference configuration's, on `plain` as on the others.
fn listener(place: Place, modules: &Modules) -> Value {
    let name = place.variant.name();
    json!({
        "name": name,
        "address": address(place.port),
        "per_connection_buffer_limit_bytes": 65_536,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "early_header_mutation_extensions": [{
                    "name": "envoy.http.early_header_mutation.header_mutation",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                        "mutations": [{"remove_on_match": {"key_matcher": {"prefix": "reprise-"}}}]
                    }
                }],
                "route_config": {"virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "request_body_buffer_limit": 4_194_304,
                    "routes": [route(place.variant)]
                }]},
                "http_filters": http_filters(place.variant, modules)
            }
        }]}]
    })
}

fn route(variant: Variant) -> Value {
    let mut route = json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}});
    if variant == Variant::FirstSeenFull {
        route["metadata"] = json!({"filter_metadata": {"reprise": {"idempotency": {"retain_s": 5}}}});
    }
    route
}

fn http_filters(variant: Variant, modules: &Modules) -> Vec<Value> {
    let own = match variant {
        Variant::Plain | Variant::Control => None,
        Variant::Noop => Some(wasm(variant, &modules.noop, &json!({}))),
        Variant::LuaHeader => Some(lua()),
        Variant::Tap => Some(tap(&modules.taps)),
        Variant::FirstSeen | Variant::FirstSeenFull | Variant::Detached | Variant::Answer => {
            Some(wasm(variant, &modules.reprise, &document(variant)))
        }
        Variant::Wait => Some(wasm(variant, &modules.reprise, &waiting())),
        Variant::StoreEmpty | Variant::StoreHalf | Variant::StoreFull => {
            Some(wasm(variant, &modules.reprise, &growing()))
        }
        Variant::CaptureAsync => Some(wasm(variant, &modules.reprise, &capturing("async"))),
        Variant::CaptureWriteAhead => Some(wasm(variant, &modules.reprise, &capturing("write_ahead"))),
    };
    let router = json!({"name": "router", "typed_config": {"@type": format!("{FILTERS}.router.v3.Router")}});
    own.into_iter().chain([router]).collect()
}

fn lua() -> Value {
    let source = "function envoy_on_request(handle) handle:headers():get('idempotency-key') end";
    json!({
        "name": "lua",
        "typed_config": {
            "@type": format!("{FILTERS}.lua.v3.Lua"),
            "default_source_code": {"inline_string": source}
        }
    })
}

/// Both bodies whole, as binary: the cheapest that Envoy's tap has.
fn tap(folder: &str) -> Value {
    json!({
        "name": "tap",
        "typed_config": {
            "@type": format!("{FILTERS}.tap.v3.Tap"),
            "common_config": {"static_config": {
                "match": {"any_match": true},
                "output_config": {"sinks": [{"format": "PROTO_BINARY", "file_per_tap": {"path_prefix": format!("{folder}/tap")}}]}
            }}
        }
    })
}

/// A VM, and with it a store, of the variant's own.
fn wasm(variant: Variant, module: &str, document: &Value) -> Value {
    let name = variant.name();
    json!({
        "name": name,
        "typed_config": {
            "@type": format!("{FILTERS}.wasm.v3.Wasm"),
            "config": {
                "name": name,
                "vm_config": {
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}}
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": document.to_string()
                },
                "failure_policy": "FAIL_RELOAD",
                "allow_on_headers_stop_iteration": true
            }
        }
    })
}

/// The filter's document. Keys live for 5 s, but for the pool of `answer`: those are recorded once, before the run, and
/// have to outlive it.
fn document(variant: Variant) -> Value {
    let retain_s = if variant == Variant::Answer { 3600 } else { 5 };
    let mut document = json!({
        "version": 1,
        "name": "bench",
        "idempotency": {"mode": "optional", "retain_s": retain_s, "keys_max": KEYS_MAX}
    });
    if variant == Variant::FirstSeenFull {
        document["rules"] = rules();
    }
    if variant == Variant::Detached {
        document["idempotency"]["execution"] = "detached".into();
        document["idempotency"]["detached_cluster"] = detached::NAME.into();
    }
    document
}

/// The document of the growth rows, the same for all of them: what is measured lives for a second, and what fills the store
/// outlives the run.
///
/// A store that is half full has full buckets here and there, so the oldest done records make room: a 503 voids a row.
fn growing() -> Value {
    json!({
        "version": 1,
        "name": "bench",
        "idempotency": {"mode": "optional", "retain_s": 1, "keys_max": GROWTH_KEYS_MAX, "on_full": "evict"},
        "rules": [{"match": {"path": FILL_PATH}, "idempotency": {"retain_s": 3600}}]
    })
}

/// A document under which duplicates wait.
fn waiting() -> Value {
    json!({"version": 1, "name": "bench", "idempotency": {"mode": "optional", "in_flight": "wait"}})
}

/// A document that captures, and does nothing else.
fn capturing(durability: &str) -> Value {
    json!({
        "version": 1,
        "name": "bench",
        "idempotency": {"mode": "off"},
        "capture": {"enabled": true, "durability": durability}
    })
}

/// Eight rules; the requests' path meets the last.
fn rules() -> Value {
    let others = [
        "customers",
        "customers/{id}",
        "invoices",
        "invoices/{id}",
        "refunds",
        "orders",
        "orders/{id}",
    ];
    let paths = others
        .iter()
        .map(|path| format!("/v1/{path}"))
        .chain([PATH.replace("42", "{id}")]);
    paths
        .map(|path| {
            json!({
                "match": {"methods": ["POST"], "host": "*", "path": path},
                "idempotency": {"mode": "required"}
            })
        })
        .collect()
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
