//! THE SEAM: all that the filter asks of its host, and the only file that names host calls.
//!
//! Nothing above it may know that it runs as wasm. The real host is [`Proxy`], the one of the seam tests is in memory.

use reprise_core::time::{Millis, MonoMillis};

/// Which half of an exchange is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// A host call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError {
    /// What was asked.
    pub call: &'static str,
    /// What the host said, by the numbers of the proxy-wasm ABI.
    pub status: u32,
}

/// One value of shared data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shared {
    /// Its bytes; none if it is empty or was never made.
    pub value: Vec<u8>,
    /// The number to replace it by; none if it was never made.
    pub number: Option<u32>,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing once.
    Info,
    /// Somebody should look.
    Warn,
    /// Something is wrong.
    Error,
}

/// Kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// Data that all workers of one process share.
pub trait SharedData {
    /// Reads a value and its number.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn shared(&self, key: &str) -> Result<Shared, HostError>;

    /// Writes a value whatever stands there.
    ///
    /// # Errors
    /// [`HostError`] if the host fails; nothing is written then.
    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), HostError>;

    /// Writes a value if its number is still `number`; tells whether it was.
    ///
    /// Atomic: of several that replace the same number, one succeeds.
    ///
    /// # Errors
    /// [`HostError`] if the host fails; nothing is written then.
    fn replace_shared(&self, key: &str, value: &[u8], number: u32) -> Result<bool, HostError>;

    /// Makes a value unless it was ever made; tells whether it did.
    ///
    /// The host has no such call: on a key that was never made, replacing any number that is not zero inserts. Asked for
    /// first, because numbers wrap after 4.3 G writes, and on an existing key `u32::MAX` could then be its number.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn insert_shared(&self, key: &str, value: &[u8]) -> Result<bool, HostError> {
        if self.shared(key)?.number.is_some() {
            return Ok(false);
        }
        self.replace_shared(key, value, u32::MAX)
    }
}

/// The exchange whose callback runs.
pub trait Stream {
    /// Reads all headers in the host's serialised form; only within their callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError>;

    /// Reads the first value of one request header; only within the headers' callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn request_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError>;

    /// Takes off all headers of a name; only within their callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn remove_header(&self, side: Side, name: &[u8]) -> Result<(), HostError>;

    /// Adds a header behind all others of the response; only within the headers' callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn add_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Reads `len` bytes of the body's buffer from `start`; only within the body's callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn body(&self, side: Side, start: usize, len: usize) -> Result<Vec<u8>, HostError>;

    /// Takes the first `len` bytes off the buffer of the request's body; only within its callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn drain_request(&self, len: usize) -> Result<(), HostError>;

    /// Answers the request; `pairs` in the host's serialised form.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn respond(&self, status: u16, pairs: &[u8], body: &[u8]) -> Result<(), HostError>;

    /// Reads a property of the exchange; none if it has none.
    ///
    /// # Errors
    /// [`HostError`] if the host fails, or cannot put the property into bytes.
    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError>;

    /// Acts for the context `id` from now on.
    ///
    /// # Errors
    /// [`HostError`] if there is no such context. Success does not prove that its client is there.
    fn enter(&self, id: u32) -> Result<(), HostError>;
}

/// What people see of the filter.
pub trait Meter {
    /// Names a metric; the same name gives the same metric in all workers.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError>;

    /// Adds to a counter; zero adds nothing.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn add(&self, metric: u32, count: u64) -> Result<(), HostError>;

    /// Sets a gauge, or counts a value in a histogram.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn record(&self, metric: u32, value: u64) -> Result<(), HostError>;

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
}

/// Time and chance, and all of the above.
pub trait Host: SharedData + Stream + Meter {
    /// Reads the monotonic clock that all workers of the process share.
    fn now(&self) -> MonoMillis;

    /// Reads the same clock in microseconds.
    fn micros(&self) -> u64;

    /// Reads the wall clock, in seconds since 1970; for people only.
    fn wall_seconds(&self) -> u64;

    /// Draws bytes that nobody can guess.
    ///
    /// # Errors
    /// [`HostError`] if the host has none.
    fn random(&self) -> Result<[u8; 64], HostError>;

    /// Asks for a tick every `period`.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn tick_every(&self, period: Millis) -> Result<(), HostError>;
}

#[cfg(target_arch = "wasm32")]
pub use proxy::Proxy;

#[cfg(target_arch = "wasm32")]
mod proxy {
    use super::{Host, HostError, Level, Meter, MetricKind, Shared, SharedData, Side, Stream};
    use proxy_wasm::hostcalls;
    use proxy_wasm::types::{BufferType, MapType, MetricType, Status};
    use reprise_core::time::{Millis, MonoMillis};
    use std::time::{Duration, SystemTime};

    /// Envoy, by the proxy-wasm ABI.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Proxy;

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    #[expect(unsafe_code, reason = "std's Instant hides its zero")]
    unsafe extern "C" {
        fn clock_time_get(clock: u32, precision: u64, nanos: *mut u64) -> u32;
    }

    #[link(wasm_import_module = "env")]
    #[expect(unsafe_code, reason = "three calls that the SDK makes too dear, or for str only")]
    unsafe extern "C" {
        // The SDK's getters split the map into strings, which costs 1.5 us a request, and panic on names that are not
        // UTF-8; its local reply takes values as `str`, while a recorded header may be any bytes.
        fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
        fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> u32;
        fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
    }

    const fn map(side: Side) -> MapType {
        match side {
            Side::Request => MapType::HttpRequestHeaders,
            Side::Response => MapType::HttpResponseHeaders,
        }
    }

    const fn failed(call: &'static str, status: Status) -> HostError {
        HostError {
            call,
            status: status as u32,
        }
    }

    const fn done(call: &'static str, status: u32) -> Result<(), HostError> {
        if status == 0 {
            Ok(())
        } else {
            Err(HostError { call, status })
        }
    }

    impl SharedData for Proxy {
        fn shared(&self, key: &str) -> Result<Shared, HostError> {
            let (value, number) =
                hostcalls::get_shared_data(key).map_err(|status| failed("get_shared_data", status))?;
            Ok(Shared {
                value: value.unwrap_or_default(),
                number,
            })
        }

        fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), HostError> {
            hostcalls::set_shared_data(key, Some(value), None).map_err(|status| failed("set_shared_data", status))
        }

        fn replace_shared(&self, key: &str, value: &[u8], number: u32) -> Result<bool, HostError> {
            match hostcalls::set_shared_data(key, Some(value), Some(number)) {
                Ok(()) => Ok(true),
                Err(Status::CasMismatch) => Ok(false),
                Err(status) => Err(failed("set_shared_data", status)),
            }
        }
    }

    impl Stream for Proxy {
        #[expect(unsafe_code, reason = "the map as the host wrote it, see the declaration")]
        fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
            let mut data: *mut u8 = std::ptr::null_mut();
            let mut size = 0;
            // SAFETY: the host allocates `size` bytes by the module's own allocator, and hands them over.
            unsafe {
                let status = proxy_get_header_map_pairs(map(side), &raw mut data, &raw mut size);
                done("get_header_map_pairs", status)?;
                Ok(if data.is_null() {
                    Vec::new()
                } else {
                    Vec::from_raw_parts(data, size, size)
                })
            }
        }

        fn request_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
            hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name)
                .map_err(|status| failed("get_header_map_value", status))
        }

        #[expect(unsafe_code, reason = "a name may be any bytes, the SDK takes str")]
        fn remove_header(&self, side: Side, name: &[u8]) -> Result<(), HostError> {
            // SAFETY: the host only reads `name`, within the call.
            let status = unsafe { proxy_remove_header_map_value(map(side), name.as_ptr(), name.len()) };
            done("remove_header_map_value", status)
        }

        fn add_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
            hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value)
                .map_err(|status| failed("add_header_map_value", status))
        }

        fn body(&self, side: Side, start: usize, len: usize) -> Result<Vec<u8>, HostError> {
            if len == 0 {
                return Ok(Vec::new());
            }
            let buffer = match side {
                Side::Request => BufferType::HttpRequestBody,
                Side::Response => BufferType::HttpResponseBody,
            };
            let bytes =
                hostcalls::get_buffer(buffer, start, len).map_err(|status| failed("get_buffer_bytes", status))?;
            match bytes {
                Some(bytes) if bytes.len() == len => Ok(bytes),
                // A fingerprint or a record of half a body would be worse than none.
                Some(_) | None => Err(failed("get_buffer_bytes", Status::Empty)),
            }
        }

        fn drain_request(&self, len: usize) -> Result<(), HostError> {
            hostcalls::set_buffer(BufferType::HttpRequestBody, 0, len, b"")
                .map_err(|status| failed("set_buffer_bytes", status))
        }

        #[expect(unsafe_code, reason = "recorded values may be any bytes, see the declaration")]
        fn respond(&self, status: u16, pairs: &[u8], body: &[u8]) -> Result<(), HostError> {
            // SAFETY: the host only reads the three slices, within the call.
            let status = unsafe {
                proxy_send_local_response(
                    u32::from(status),
                    std::ptr::null(),
                    0,
                    body.as_ptr(),
                    body.len(),
                    pairs.as_ptr(),
                    pairs.len(),
                    -1,
                )
            };
            done("send_local_response", status)
        }

        fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
            hostcalls::get_property(path.to_vec()).map_err(|status| failed("get_property", status))
        }

        fn enter(&self, id: u32) -> Result<(), HostError> {
            hostcalls::set_effective_context(id).map_err(|status| failed("set_effective_context", status))
        }
    }

    impl Meter for Proxy {
        fn metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError> {
            let kind = match kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            hostcalls::define_metric(kind, name).map_err(|status| failed("define_metric", status))
        }

        fn add(&self, metric: u32, count: u64) -> Result<(), HostError> {
            let Ok(count @ 1..) = i64::try_from(count) else {
                return Ok(());
            };
            hostcalls::increment_metric(metric, count).map_err(|status| failed("increment_metric", status))
        }

        fn record(&self, metric: u32, value: u64) -> Result<(), HostError> {
            hostcalls::record_metric(metric, value).map_err(|status| failed("record_metric", status))
        }

        fn log(&self, level: Level, line: &str) {
            let level = match level {
                Level::Info => log::Level::Info,
                Level::Warn => log::Level::Warn,
                Level::Error => log::Level::Error,
            };
            log::log!(level, "{line}");
        }
    }

    impl Host for Proxy {
        fn now(&self) -> MonoMillis {
            MonoMillis(self.micros() / 1000)
        }

        #[expect(
            unsafe_code,
            reason = "std's Instant hides its zero, and workers compare absolute times"
        )]
        fn micros(&self) -> u64 {
            const MONOTONIC: u32 = 1;
            let mut nanos = 0;
            // SAFETY: the host writes one u64 to `nanos`.
            let _always_there = unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanos) };
            nanos / 1000
        }

        fn wall_seconds(&self) -> u64 {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        }

        fn random(&self) -> Result<[u8; 64], HostError> {
            let mut bytes = [0; 64];
            match getrandom::fill(&mut bytes) {
                Ok(()) => Ok(bytes),
                Err(_) => Err(HostError {
                    call: "random_get",
                    status: 1,
                }),
            }
        }

        fn tick_every(&self, period: Millis) -> Result<(), HostError> {
            hostcalls::set_tick_period(Duration::from_millis(period.0))
                .map_err(|status| failed("set_tick_period", status))
        }
    }
}
