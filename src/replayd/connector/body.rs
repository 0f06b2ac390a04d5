//! The body of a request that goes out: bytes at hand, and trailers behind them.

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body of known bytes; its length is told unless trailers follow it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outgoing {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Outgoing {
    /// Makes a body.
    pub(crate) fn new(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            data: (!data.is_empty()).then_some(data),
            trailers: trailers.filter(|trailers| !trailers.is_empty()),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let len = self
            .data
            .as_ref()
            .map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        if self.trailers.is_some() {
            return SizeHint::default();
        }
        SizeHint::with_exact(len)
    }
}
