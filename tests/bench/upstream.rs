//! The upstream: answers every request of Envoy's at once, on the generator's own loop.

use crate::message;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// The upstream and its connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Where Envoy connects.
    pub(crate) listener: TcpListener,
    /// Requests answered so far.
    pub(crate) served: u64,
    peers: Vec<Option<Peer>>,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
    filled: usize,
}

impl Upstream {
    /// Listens on a free port of the loopback.
    pub(crate) fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            served: 0,
            peers: Vec::new(),
        })
    }

    /// Takes a waiting connection in; its index and stream are for whoever watches it.
    pub(crate) fn accept(&mut self) -> io::Result<(usize, &TcpStream)> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let index = self.peers.len();
        self.peers.push(Some(Peer {
            stream,
            bytes: vec![0; message::MESSAGE_BYTES_MAX],
            filled: 0,
        }));
        self.peers[index]
            .as_ref()
            .map_or_else(|| Err(io::Error::other("no peer")), |peer| Ok((index, &peer.stream)))
    }

    /// Answers what is whole on connection `index`; a closed one is forgotten.
    pub(crate) fn serve(&mut self, index: usize) -> io::Result<()> {
        let Some(peer) = self.peers[index].as_mut() else {
            return Ok(());
        };
        match peer.serve() {
            Ok(Some(served)) => self.served += served,
            Ok(None) => self.peers[index] = None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.peers[index] = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Peer {
    /// Requests answered, none if Envoy closed.
    fn serve(&mut self) -> io::Result<Option<u64>> {
        let read = self.stream.read(&mut self.bytes[self.filled..])?;
        if read == 0 {
            return Ok(None);
        }
        self.filled += read;
        let mut served = 0;
        while let Some(whole) = message::whole_bytes(&self.bytes[..self.filled], self.length_without_body())? {
            self.stream.write_all(message::answer(&self.bytes))?;
            self.bytes.copy_within(whole..self.filled, 0);
            self.filled -= whole;
            served += 1;
        }
        Ok(Some(served))
    }

    /// A GET needs no `content-length`.
    fn length_without_body(&self) -> Option<usize> {
        self.bytes.starts_with(b"GET").then_some(0)
    }
}
