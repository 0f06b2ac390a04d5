//! A response body that comes in pieces, with trailers or a sudden end.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The reading end, given to hyper.
#[derive(Debug)]
pub(super) struct Pieces(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

/// The writing end.
#[derive(Debug)]
pub(super) struct PiecesSender(mpsc::Sender<Result<Frame<Bytes>, io::Error>>);

/// Makes a body and its writing end.
pub(super) fn pieces() -> (PiecesSender, Pieces) {
    let (sender, receiver) = mpsc::channel(1);
    (PiecesSender(sender), Pieces(receiver))
}

impl PiecesSender {
    /// Sends one piece; false if nobody reads any more.
    pub(super) async fn data(&self, piece: Bytes) -> bool {
        self.0.send(Ok(Frame::data(piece))).await.is_ok()
    }

    /// Sends trailers; they end the body.
    pub(super) async fn trailers(&self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Cuts the body: the connection (HTTP/1.1) or the stream (HTTP/2) is reset.
    pub(super) async fn cut(&self) {
        let _ = self.0.send(Err(io::Error::other("cut by script"))).await;
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}
