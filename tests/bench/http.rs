//! A blocking HTTP/1.1 client for what is asked one after the other on one connection.

use crate::message;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects to `port` of the loopback.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            request: Vec::new(),
            unread: Vec::new(),
        })
    }

    /// Sends a request and reads its whole response: status and body.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or the response has no `content-length`.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<(u16, Vec<u8>)> {
        self.request.clear();
        write!(
            self.request,
            "{method} {target} HTTP/1.1\r\nhost: bench.test\r\ncontent-length: {}\r\n",
            body.len()
        )?;
        for (name, value) in headers {
            write!(self.request, "{name}: {value}\r\n")?;
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request)?;
        let whole = loop {
            let without_length = self.unread.starts_with(b"HTTP/1.1 304").then_some(0);
            if let Some(whole) = message::whole_bytes(&self.unread, without_length)? {
                break whole;
            }
            let mut piece = [0; 65_536];
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unread.extend_from_slice(&piece[..read]),
            }
        };
        let answer: Vec<u8> = self.unread.drain(..whole).collect();
        let body = answer
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .map_or(whole, |at| at + 4);
        Ok((message::status(&answer), answer[body..].to_vec()))
    }
}

/// Asks Envoy's admin interface at `port` and reads its answer, which comes in chunks, to the end.
///
/// # Errors
///
/// If nobody answers.
pub(crate) fn admin(port: u16, target: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_head, mut rest) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let mut body = String::new();
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or_default();
        let Some((piece, next)) = chunk.split_at_checked(length).filter(|_| 0 < length) else {
            break;
        };
        body.push_str(piece);
        rest = next.trim_start_matches("\r\n");
    }
    Ok(body)
}
