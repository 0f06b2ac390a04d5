//! What the test targets share: a real Envoy, a demo upstream, raw clients.
