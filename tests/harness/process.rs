//! Programs that tests start: found, started, and gone when the test is, however it ends.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Result;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, mpsc};

/// Tells whether a missing `what` (`envoy`, `docker`) is a failure: `REPRISE_REQUIRE` lists what has to be there.
#[must_use]
pub fn required(what: &str) -> bool {
    std::env::var("REPRISE_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == what))
}

/// Says that a test is skipped and why; fails where `what` is required.
pub fn skip(what: &str, why: &str) {
    assert!(!required(what), "{what} is required: {why}");
    println!("skipped: {why}");
}

/// Finds Envoy: `$ENVOY_BIN`, else in `$PATH`, else where `scripts/envoy.sh` puts it.
#[must_use]
pub fn envoy_binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ENVOY_BIN") {
        return Some(named.into());
    }
    let installed = root().join(".reprise/envoy");
    in_path("envoy").or_else(|| installed.exists().then_some(installed))
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Gives the root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

/// Gives the directory that cargo builds into.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Finds the built filter: `$REPRISE_WASM`, else where `scripts/build-filter.sh` leaves it.
#[must_use]
pub fn filter_wasm() -> Option<PathBuf> {
    built("REPRISE_WASM", "wasm32-wasip1/wasm/reprise.wasm")
}

/// Finds the build of the filter that traps on command: `$REPRISE_TRAP_WASM`, else where `scripts/build-filter.sh` leaves it.
#[must_use]
pub fn trap_wasm() -> Option<PathBuf> {
    built("REPRISE_TRAP_WASM", "wasm32-wasip1/wasm/reprise-trap.wasm")
}

/// Finds replayd: `$REPLAYD_BIN`, else where a debug build leaves it.
#[must_use]
pub fn replayd_binary() -> Option<PathBuf> {
    built("REPLAYD_BIN", "debug/replayd")
}

fn built(variable: &str, place: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    Some(named.unwrap_or_else(|| target().join(place))).filter(|file| file.is_file())
}

/// Picks a port that nobody listens on, below those that the system gives to outgoing connections.
#[must_use]
pub fn free_port() -> u16 {
    (0_u32..1000)
        .map(|attempt| RandomState::new().hash_one(attempt))
        .filter_map(|random| u16::try_from(20_000 + random % 12_000).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port among a thousand tries")
}

/// A started program; killed when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Process(Child);

type Job = (Command, mpsc::Sender<Result<Child>>);

/// The thread that starts all programs. The system ties their lives to this thread's, and it lives as long as the process.
static STARTER: LazyLock<Mutex<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        for (mut command, reply) in jobs {
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

impl Process {
    /// Starts `program` as `prepare` says.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub fn start(program: &Path, prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut command = in_path("setpriv").map_or_else(
            || Command::new(program),
            |setpriv| {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            },
        );
        prepare(&mut command);
        let (reply, started) = mpsc::channel();
        STARTER
            .lock()
            .expect("no one panics with the starter")
            .send((command, reply))
            .expect("the starter lives");
        started.recv().expect("the starter answers").map(Self)
    }

    /// Gives its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Tells how much memory of the machine it uses.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        Self::memory_kib_of(self.id())
    }

    /// Tells how much memory of the machine the process with this id uses; 0 if there is none.
    #[must_use]
    pub fn memory_kib_of(id: u32) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    }

    /// Sends it a signal by name, as `TERM`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
    }

    /// Tells how it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
