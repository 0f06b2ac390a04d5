//! A replayd whose disk is small, in a container of its own.

use super::project::{docker, fed, missing, turn};
use reprise_tests::harness::{eventually, skip};
use serde_json::Value;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// How large the disk is: more than replayd holds back and keeps as a log.
const DISK: &str = "/data:size=128m,mode=0700,uid=101,gid=101";
/// How long replayd may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// Captures in an import, each with a body of 16 KiB.
const OF_IMPORT: usize = 500;
/// Imports of which the disk cannot hold all.
const IMPORTS_MAX: usize = 30;

/// A container that is removed when dropped.
struct Small {
    name: String,
}

impl Small {
    fn start() -> Self {
        let name = format!("reprise-disk-{:016x}", RandomState::new().hash_one(0));
        let run = [
            "run",
            "--detach",
            "--name",
            &name,
            "--tmpfs",
            DISK,
            "reprise-replayd:local",
        ];
        docker(&run).unwrap_or_else(|said| panic!("{said}"));
        Self { name }
    }

    /// Runs a command of replayd's, fed with `input`.
    fn replayd(&self, arguments: &[&str], input: &[u8]) -> Result<String, String> {
        let exec = ["exec", "--interactive", &self.name, "/usr/local/bin/replayd"];
        fed(&[&exec, arguments, &["--data-dir", "/data"]].concat(), input)
    }

    /// Imports until the disk is full; tells how many imports went in. A file of another round is not here already.
    fn fill(&self, round: usize) -> usize {
        for imports in 0..IMPORTS_MAX {
            let file = requests(round * IMPORTS_MAX + imports);
            if let Err(said) = self.replayd(&["captures", "import", "--format", "gor", "-"], &file) {
                assert!(said.contains("disk is full"), "{said}");
                return imports;
            }
        }
        panic!("{IMPORTS_MAX} imports went in");
    }

    fn count(&self) -> u64 {
        let said = self.replayd(&["captures", "stats", "--json"], b"").unwrap();
        serde_json::from_str::<Value>(&said).unwrap()["count"].as_u64().unwrap()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?}", docker(&["logs", "--tail", "50", &self.name]));
        }
        let _removed = docker(&["rm", "--force", &self.name]);
    }
}

/// Requests as GoReplay writes them; each file has seconds of its own.
fn requests(file: usize) -> Vec<u8> {
    let began_ns = (1_700_000_000 + file) * 1_000_000_000;
    let body = "0123456789abcdef".repeat(1024);
    let request = |n: usize| {
        format!(
            "1 {n:024x} {}\nPOST /orders/{n} HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}\n\u{1f435}\u{1f648}\u{1f649}\n",
            began_ns + n,
            body.len()
        )
    };
    (1..=OF_IMPORT).map(request).collect::<String>().into_bytes()
}

/// Case R19.
#[tokio::test]
async fn a_full_disk_heals_by_deleting() {
    let _turn = turn().await;
    if let Some(missing) = missing() {
        return skip("docker", &missing);
    }
    let small = Small::start();
    eventually("replayd serves", PATIENCE, || async {
        small.replayd(&["doctor", "--ready"], b"")
    })
    .await;
    let imports = small.fill(0);
    assert!(imports > 0);
    let count = (imports * OF_IMPORT) as u64;
    assert_eq!(small.count(), count);
    // As often as one likes: what is full stays in order.
    assert_eq!((small.fill(1), small.count()), (0, count));
    let deleted = small.replayd(&["captures", "delete", "--path", "/orders/1*"], b"");
    assert!(deleted.is_ok(), "{deleted:?}");
    assert!(small.count() < count);
    let deleted = small.replayd(&["captures", "delete", "--all"], b"");
    assert!(deleted.is_ok(), "{deleted:?}");
    assert_eq!(small.count(), 0);
    let again = small.fill(2);
    assert!((1..=imports).contains(&again), "{again} of {imports}");
    assert_eq!(small.count(), (again * OF_IMPORT) as u64);
    let doctor = small.replayd(&["doctor"], b"");
    assert!(
        doctor.as_ref().is_ok_and(|said| said.contains("integrity")),
        "{doctor:?}"
    );
}
