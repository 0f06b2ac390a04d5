//! One replayd with fresh data: started, asked, ended and removed when dropped.

use crate::clock;
use crate::envoy::free_ports;
use crate::http::Connection;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long replayd may take to be ready, or to answer.
const READY_MAX: Duration = Duration::from_secs(30);

/// A running replayd.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    folder: PathBuf,
    /// Where Envoy calls it.
    pub(crate) ingest: u16,
    console: u16,
}

impl Daemon {
    /// Starts `program` in a new directory beside it, whose disk is the one that is measured, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or is not ready in time.
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let ports = free_ports(2)?;
        let (ingest, console) = (ports[0], ports[1]);
        let place = program.parent().unwrap_or_else(|| Path::new("."));
        let folder = place.join(format!("bench-{}-{ingest}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(folder.join("replayd.log"))?;
        let child = Command::new(program)
            .args(["serve", "--data-dir", "reprise-data"])
            .args(["--ingest-address", &format!("127.0.0.1:{ingest}")])
            .args(["--console-address", &format!("127.0.0.1:{console}")])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let daemon = Self {
            child,
            folder,
            ingest,
            console,
        };
        clock::eventually("replayd is ready", READY_MAX, || {
            let ready = Connection::open(console).and_then(|mut connection| connection.ask("GET", "/readyz", &[], b""));
            Ok(ready.is_ok_and(|(status, _)| status == 200).then_some(()))
        })?;
        Ok(daemon)
    }

    /// The token that Envoy shows.
    pub(crate) fn ingest_token(&self) -> io::Result<String> {
        self.token("ingest-token")
    }

    /// The file of the token that Envoy shows.
    pub(crate) fn ingest_token_file(&self) -> PathBuf {
        self.folder.join("reprise-data/ingest-token")
    }

    fn token(&self, name: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.folder.join("reprise-data").join(name))?
            .trim()
            .to_owned())
    }

    /// Opens a connection to the REST interface, with what its requests have to carry.
    pub(crate) fn console(&self) -> io::Result<(Connection, String)> {
        Ok((
            Connection::open(self.console)?,
            format!("Bearer {}", self.token("admin-token")?),
        ))
    }

    /// Asks the REST interface once.
    ///
    /// # Errors
    ///
    /// If the status is not in 200 to 299.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &Value) -> io::Result<Value> {
        let (mut connection, credential) = self.console()?;
        let headers = [
            ("authorization", credential.as_str()),
            ("content-type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, said) = connection.ask(method, target, &headers, body.as_bytes())?;
        if !(200..300).contains(&status) {
            let said = String::from_utf8_lossy(&said).into_owned();
            return Err(io::Error::other(format!("{method} {target}: {status} {said}")));
        }
        serde_json::from_slice(&said).map_err(io::Error::other)
    }

    /// CPU time that it has used so far, in seconds.
    pub(crate) fn cpu_s(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or_default()
        };
        // Fields 14 and 15 of proc(5), counted from the one after the name; 100 ticks a second wherever Linux shows them.
        Ok((ticks(11) + ticks(12)) / 100.0)
    }
}

impl Drop for Daemon {
    /// What is gone already is as good as what is ended and removed here.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
