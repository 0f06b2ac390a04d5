//! One Envoy process: started, asked whether it is ready, ended when dropped.

use crate::clock::{self, now_ns};
use crate::worker::Worker;
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long Envoy may take to be ready: modules are compiled first.
const READY_MAX: Duration = Duration::from_secs(30);

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    child: Child,
    /// From the start to the first answer that says it is ready.
    pub(crate) ready_ns: u64,
}

impl Envoy {
    /// Starts `program` with one worker on the cores that this thread has, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// What Envoy exited with, or [`io::ErrorKind::TimedOut`]; it has written why to stderr.
    pub(crate) fn start(program: &Path, config: &Value, admin_port: u16) -> io::Result<Self> {
        Self::start_with(program, 1, config, admin_port)
    }

    /// As [`Self::start`], with so many workers.
    pub(crate) fn start_with(program: &Path, workers: u32, config: &Value, admin_port: u16) -> io::Result<Self> {
        let start_ns = now_ns();
        let child = Command::new(program)
            .args(["--concurrency", &workers.to_string()])
            .args(["--disable-hot-restart", "--log-level", "error"])
            .args(["--config-yaml", &config.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let mut envoy = Self { child, ready_ns: 0 };
        clock::eventually("Envoy is ready", READY_MAX, || match envoy.child.try_wait()? {
            Some(status) => Err(io::Error::other(format!("Envoy ended before it was ready: {status}"))),
            None => Ok(is_ready(admin_port).then_some(())),
        })?;
        envoy.ready_ns = now_ns() - start_ns;
        Ok(envoy)
    }

    /// The thread that handles all requests.
    pub(crate) fn worker(&self) -> io::Result<Worker> {
        Worker::find(self.child.id())
    }

    /// The program that runs in the end, if what was started is a wrapper.
    pub(crate) fn program(&self) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.child.id()))
    }
}

impl Drop for Envoy {
    /// An Envoy that is gone already is as good as one that is ended here.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `count` ports of the loopback that were free a moment ago.
pub(crate) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: io::Result<Vec<_>> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect();
    held?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// False also while nothing listens yet.
fn is_ready(admin_port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, admin_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head.ends_with(" 200"))
}
