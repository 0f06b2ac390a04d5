//! A filter that does nothing: what any proxy-wasm filter costs before it acts.
//!
//! It is the floor that `scripts/bench.sh` measures the real one against, so it keeps the callbacks that every filter has
//! (both bodies, `on_log`) and calls the host in none of them.
#![cfg(target_arch = "wasm32")]
#![expect(missing_docs, reason = "the entry point is made by `proxy_wasm::main!`")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {}
