//! Route metadata: what a route says of itself, read once and known again by its bytes.

use crate::host::{Host, Level};
use crate::root::BadMetadata;
use crate::structs;
use hashbrown::HashMap;
use reprise_core::config::Overrides;

/// Where the host keeps it; the short path costs less, and nothing on routes without it.
const OURS: [&str; 4] = ["xds", "route_metadata", "filter_metadata", NAME];
const ALL: [&str; 2] = ["xds", "route_metadata"];
const NAME: &str = "reprise";
/// Routes' metadata kept ready; beyond it they are read anew.
const KNOWN_MAX: usize = 1024;

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
        // What the host cannot put into bytes by the short path is known by the whole.
        let key = match host.property(&OURS) {
            Ok(None) => return Ok(Self::NONE),
            Ok(Some(bytes)) => bytes,
            Err(_) => host.property(&ALL).ok().flatten().unwrap_or_default(),
        };
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let found = self.read(host);
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

    fn read(&mut self, host: &impl Host) -> Result<u32, BadMetadata> {
        let bytes = host.property(&ALL).ok().flatten().unwrap_or_default();
        let value = structs::from_metadata(&bytes, NAME).ok_or(BadMetadata)?;
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
