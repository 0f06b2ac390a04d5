//! The store in shared data: its fixed set of keys, made once by the first VM that finds none.

use crate::host::{Host, HostError, SharedData};
use reprise_core::capture::tally::SEATS;
use reprise_core::claim::bucket::WAYS;
use reprise_core::claim::geometry::{Geometry, Name};
use reprise_core::id::Secrets;

/// The geometry's key.
pub const GEOMETRY: &str = "g";
/// The secrets' key.
pub const SECRETS: &str = "k";
/// The worker slots' key.
pub const SLOTS: &str = "s";
/// The key of the counts by principals.
pub const PRINCIPALS: &str = "p";
/// The usage's key.
pub const USAGE: &str = "u";
/// The key of the sweeper's lease.
pub const SWEEPER: &str = "w";

/// The key of the tally of captures.
pub const TALLY: &str = "t";
/// The key of the upstreams' boots.
pub const BOOT: &str = "boot";
/// The policy's key.
pub const POLICY: &str = "policy";

/// Keys besides buckets, waiters, records and seats.
const SINGLE: [&str; 7] = [SLOTS, PRINCIPALS, USAGE, SWEEPER, TALLY, BOOT, POLICY];

/// A store that is made.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its size.
    pub geometry: Geometry,
    /// Its hashes' keys.
    pub secrets: Secrets,
    /// When it was made, in seconds since 1970; for people only.
    pub started_wall: u64,
}

/// Why a store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The host failed.
    Host(HostError),
    /// A store of another size is there, and keys in it could not be found again.
    OtherGeometry {
        /// Keys that the store holds.
        is: u32,
        /// Keys that the document wants.
        wanted: u32,
    },
    /// What stands in shared data was not written by this version.
    Foreign {
        /// The key.
        key: &'static str,
    },
}

impl From<HostError> for OpenError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(HostError { call, status }) => {
                write!(
                    f,
                    "the store of keys cannot be opened: {call} failed with status {status}"
                )
            }
            Self::OtherGeometry { is, wanted } => write!(
                f,
                "idempotency.keys_max: the store of this process holds {is} keys and the document wants {wanted}; \
                 restart the proxy to change it, because no key could be found again"
            ),
            Self::Foreign { key } => {
                write!(
                    f,
                    "shared data `{key}` was not written by this version; give the plugin a vm_id of its own"
                )
            }
        }
    }
}

impl Store {
    /// Opens the store of this process, and makes it if there is none.
    ///
    /// Atomic: the geometry is written last, so a store that is half made is made again.
    /// Again: opens the store that is there.
    ///
    /// # Errors
    /// [`OpenError::OtherGeometry`] if a store of another size is there, [`OpenError::Foreign`] if something else is.
    pub fn open(host: &impl Host, keys_max: u32) -> Result<Self, OpenError> {
        let wanted = Geometry::new(keys_max, host.now());
        let geometry = match host.shared(GEOMETRY)?.number {
            Some(_) => Self::geometry(host)?,
            None => Self::make(host, &wanted)?,
        };
        if geometry.buckets != wanted.buckets {
            return Err(OpenError::OtherGeometry {
                is: geometry.keys_max(),
                wanted: wanted.keys_max(),
            });
        }
        let secrets = Secrets::read(&host.shared(SECRETS)?.value).ok_or(OpenError::Foreign { key: SECRETS })?;
        let age_s = host.now().since(geometry.started).0 / 1000;
        Ok(Self {
            geometry,
            secrets,
            started_wall: host.wall_seconds().saturating_sub(age_s),
        })
    }

    fn geometry(host: &impl SharedData) -> Result<Geometry, OpenError> {
        Geometry::read(&host.shared(GEOMETRY)?.value).ok_or(OpenError::Foreign { key: GEOMETRY })
    }

    fn make(host: &impl Host, wanted: &Geometry) -> Result<Geometry, OpenError> {
        host.insert_shared(SECRETS, &host.random()?)?;
        for key in SINGLE {
            host.insert_shared(key, b"")?;
        }
        let mut name = Name::default();
        for seat in 0..SEATS {
            host.insert_shared(name.seat(seat), b"")?;
        }
        for bucket in 0..wanted.buckets {
            host.insert_shared(name.bucket(bucket), b"")?;
            host.insert_shared(name.waiters(bucket), b"")?;
            for way in 0..WAYS {
                host.insert_shared(name.record(bucket, way), b"")?;
            }
        }
        host.insert_shared(GEOMETRY, &wanted.write())?;
        Self::geometry(host)
    }
}
