//! One client connection to one listener of Envoy's: at most one request at a time.

use crate::message;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// For whoever watches it.
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
    filled: usize,
}

/// What became of a connection's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A whole response with this status.
    Status(u16),
    /// Envoy closed the connection; it is of no further use.
    Closed,
}

impl Client {
    /// Connects to `port` of the loopback.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            bytes: vec![0; message::MESSAGE_BYTES_MAX],
            filled: 0,
        })
    }

    /// Sends a request; it fits the socket's buffer, as there is no other on its way.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads what is there; none while the response is not whole.
    pub(crate) fn outcome(&mut self) -> io::Result<Option<Outcome>> {
        let read = match self.stream.read(&mut self.bytes[self.filled..]) {
            Ok(0) => return Ok(Some(Outcome::Closed)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Some(Outcome::Closed)),
            Err(error) => return Err(error),
        };
        self.filled += read;
        if message::whole_bytes(&self.bytes[..self.filled], None)?.is_none() {
            return Ok(None);
        }
        self.filled = 0;
        Ok(Some(Outcome::Status(message::status(&self.bytes))))
    }
}
