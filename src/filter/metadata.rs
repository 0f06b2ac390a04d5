//! Route metadata: what a route says of itself, read once and known again by its bytes.

use crate::host::{Host, HostError, Level};
use crate::structs;
use hashbrown::HashMap;
use reprise_core::config::Overrides;

/// Where the host keeps all metadata of a route. A path into them would cost twice as much on routes without any.
const ALL: [&str; 2] = ["xds", "route_metadata"];
/// Whose metadata are ours.
const NAME: &str = "reprise";
/// What the host says where there is no route: nothing that could be put into bytes.
const NO_ROUTE: u32 = 3;
/// Routes' metadata kept ready; beyond it they are read anew.
const KNOWN_MAX: usize = 1024;

/// The route's metadata do not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMetadata;

/// All metadata that this root has met.
#[derive(Debug, Default)]
pub struct Metadata {
    known: HashMap<Vec<u8>, Result<u32, BadMetadata>>,
    read: Vec<Overrides>,
}

impl Metadata {
    /// The id of no metadata.
    pub const NONE: u32 = 0;

    /// Finds the metadata of the exchange's route.
    ///
    /// # Errors
    /// [`BadMetadata`] if they do not parse; the reason is logged once.
    pub fn find(&mut self, host: &impl Host) -> Result<u32, BadMetadata> {
        let key = match host.property(&ALL) {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(_) | Err(HostError { status: NO_ROUTE, .. }) => return Ok(Self::NONE),
            Err(_) => return Err(BadMetadata),
        };
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let found = self.read(host, &key);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, found);
        found
    }

    /// Shows what the metadata of `id` ask for.
    #[must_use]
    pub fn overrides(&self, id: u32) -> Option<&Overrides> {
        self.read.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    fn read(&mut self, host: &impl Host, bytes: &[u8]) -> Result<u32, BadMetadata> {
        let Some(value) = structs::from_metadata(bytes, NAME).map_err(|structs::Malformed| BadMetadata)? else {
            return Ok(Self::NONE);
        };
        let overrides = Overrides::read(&value).map_err(|errors| {
            host.log(
                Level::Error,
                &format!("reprise: route metadata (filter_metadata.reprise): {errors}"),
            );
            BadMetadata
        })?;
        let id = match self.read.iter().position(|each| *each == overrides) {
            Some(at) => at,
            None => {
                self.read.push(overrides);
                self.read.len() - 1
            }
        };
        u32::try_from(id + 1).map_err(|_| BadMetadata)
    }
}
