//! Envoy, by the proxy-wasm ABI: the host calls themselves.

use super::{Call, Calls, Host, HostError, Level, Meter, MetricKind, Shared, SharedData, Side, Stream};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status, StreamType};
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
#[expect(
    unsafe_code,
    reason = "calls that the SDK makes too dear, for str only, or ends the VM by"
)]
unsafe extern "C" {
    // The SDK's getters split the map into strings, which costs 1.5 us a request, and panic on names that are not
    // UTF-8; its local reply takes values as `str`, while a recorded header may be any bytes. Its resume panics where
    // the stream is gone.
    fn proxy_continue_stream(stream: StreamType) -> u32;
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
        let (value, number) = hostcalls::get_shared_data(key).map_err(|status| failed("get_shared_data", status))?;
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

#[expect(unsafe_code, reason = "the map as the host wrote it, see the declaration")]
fn pairs(map: MapType) -> Result<Vec<u8>, HostError> {
    let mut data: *mut u8 = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the host allocates `size` bytes by the module's own allocator, and hands them over.
    unsafe {
        let status = proxy_get_header_map_pairs(map, &raw mut data, &raw mut size);
        done("get_header_map_pairs", status)?;
        Ok(if data.is_null() {
            Vec::new()
        } else {
            Vec::from_raw_parts(data, size, size)
        })
    }
}

impl Stream for Proxy {
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        pairs(map(side))
    }

    fn trailers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        pairs(match side {
            Side::Request => MapType::HttpRequestTrailers,
            Side::Response => MapType::HttpResponseTrailers,
        })
    }

    fn header(&self, side: Side, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        hostcalls::get_map_value_bytes(map(side), name).map_err(|status| failed("get_header_map_value", status))
    }

    #[expect(unsafe_code, reason = "a name may be any bytes, the SDK takes str")]
    fn remove_header(&self, side: Side, name: &[u8]) -> Result<(), HostError> {
        // SAFETY: the host only reads `name`, within the call.
        let status = unsafe { proxy_remove_header_map_value(map(side), name.as_ptr(), name.len()) };
        done("remove_header_map_value", status)
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        hostcalls::add_map_value_bytes(MapType::HttpRequestHeaders, name, value)
            .map_err(|status| failed("add_header_map_value", status))
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
        let bytes = hostcalls::get_buffer(buffer, start, len).map_err(|status| failed("get_buffer_bytes", status))?;
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
    fn respond(&self, status: u16, grpc_status: Option<u8>, pairs: &[u8], body: &[u8]) -> Result<(), HostError> {
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
                grpc_status.map_or(-1, i32::from),
            )
        };
        done("send_local_response", status)
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        hostcalls::get_property(path.to_vec()).map_err(|status| failed("get_property", status))
    }

    #[expect(unsafe_code, reason = "the SDK's panics, see the declaration")]
    fn resume(&self, side: Side) -> Result<(), HostError> {
        let stream = match side {
            Side::Request => StreamType::HttpRequest,
            Side::Response => StreamType::HttpResponse,
        };
        // SAFETY: takes a number, gives a number.
        done("continue_stream", unsafe { proxy_continue_stream(stream) })
    }

    fn enter(&self, id: u32) -> Result<(), HostError> {
        hostcalls::set_effective_context(id).map_err(|status| failed("set_effective_context", status))
    }
}

impl Calls for Proxy {
    fn call(&self, call: &Call<'_>) -> Result<u32, HostError> {
        let headers = vec![
            (":method", call.method),
            (":path", call.path),
            (":authority", call.cluster),
            call.header,
        ];
        let body = (!call.body.is_empty()).then_some(call.body);
        let timeout = Duration::from_millis(call.timeout.0);
        hostcalls::dispatch_http_call(call.cluster, headers, body, Vec::new(), timeout)
            .map_err(|status| failed("http_call", status))
    }

    fn call_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name)
            .map_err(|status| failed("get_header_map_value", status))
    }

    fn call_body(&self, len: usize) -> Result<Vec<u8>, HostError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let bytes = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, len)
            .map_err(|status| failed("get_buffer_bytes", status))?;
        Ok(bytes.unwrap_or_default())
    }

    fn queue(&self, name: &str) -> Result<u32, HostError> {
        hostcalls::register_shared_queue(name).map_err(|status| failed("register_shared_queue", status))
    }

    fn find_queue(&self, name: &str) -> Result<Option<u32>, HostError> {
        // No vm_id = this one's.
        hostcalls::resolve_shared_queue("", name).map_err(|status| failed("resolve_shared_queue", status))
    }

    fn wake(&self, queue: u32, message: &[u8]) -> Result<(), HostError> {
        hostcalls::enqueue_shared_queue(queue, Some(message)).map_err(|status| failed("enqueue_shared_queue", status))
    }

    fn take(&self, queue: u32) -> Result<Option<Vec<u8>>, HostError> {
        hostcalls::dequeue_shared_queue(queue).map_err(|status| failed("dequeue_shared_queue", status))
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

    fn wall_millis(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
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
        hostcalls::set_tick_period(Duration::from_millis(period.0)).map_err(|status| failed("set_tick_period", status))
    }
}
