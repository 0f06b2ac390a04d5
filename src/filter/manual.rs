//! Routes whose upstream decides about repeats itself: it is told what is known, and may ask for the recorded answer.

use crate::claims::Place;
use crate::host::Host;
use crate::metrics::Count;
use crate::reply::{Mend, respond};
use crate::root::Root;
use crate::vm::Vm;
use reprise_core::answer::{self, ASKED};
use reprise_core::claim::geometry::Name;
use reprise_core::claim::record::{Kind, Record};
use reprise_core::config::Policy;
use reprise_core::gate::Keyed;
use reprise_core::http::Pairs;
use reprise_core::problem::{Dialect, Problem};
use std::rc::Rc;

/// A repeat that went on: its upstream knows of the first response.
#[derive(Debug)]
pub struct Manual {
    place: Place,
    policy: Rc<Policy>,
    dialect: Dialect,
}

/// Tells the upstream that a key is new.
pub fn tell_new(host: &impl Host) {
    tell(host, answer::known(None));
}

fn tell(host: &impl Host, headers: impl IntoIterator<Item = (&'static str, Vec<u8>)>) {
    for (name, value) in headers {
        // An upstream that is not told runs the request as the first one, which is what its route asks for.
        let _untold = host.add_request_header(name, &value);
    }
}

impl Manual {
    /// Tells the upstream of the first response; none if there is none that is about this request.
    pub fn begin(
        host: &impl Host,
        place: &Place,
        (keyed, policy): (&Keyed, &Rc<Policy>),
        dialect: Dialect,
    ) -> Option<Self> {
        let bytes = recorded(host, place)?;
        let record = Record::read(&bytes)?;
        let is_this = record.fence == place.fence && record.tag == keyed.tag && record.head == keyed.head;
        if !is_this || record.kind == Kind::Unknown {
            return None;
        }
        tell(host, answer::known(Some(&record)));
        Some(Self {
            place: *place,
            policy: Rc::clone(policy),
            dialect,
        })
    }

    /// Answers with the first response if the upstream asks for it; none if its own goes to the client.
    pub fn response_headers(&self, host: &impl Host, vm: &mut Vm, root: &Root, map: &[u8]) -> Option<Mend> {
        let asks = Pairs::new(map)
            .first(ASKED)?
            .trim_ascii()
            .eq_ignore_ascii_case(b"stored");
        // Read again: a record that was held meanwhile would be memory that nobody counts.
        let bytes = asks.then(|| recorded(host, &self.place)).flatten()?;
        let record = Record::read(&bytes).filter(|record| record.fence == self.place.fence);
        let Some(record) = record.filter(|record| record.kind == Kind::Response) else {
            vm.metrics.count(Count::Tombstone);
            let problem = Problem::ResponseNotRetained {
                original_status: record.map(|record| record.status),
                location: record.and_then(|record| Pairs::new(record.pairs).first(b"location").map(<[u8]>::to_vec)),
            };
            return Some(respond(host, root, &problem, self.dialect));
        };
        let status = self.policy.answer_status.unwrap_or(record.status);
        // If the host refuses, the upstream's own response goes on.
        host.respond(status, None, record.pairs, record.body).ok()?;
        vm.metrics.count(Count::Answer);
        Some(Mend::of(&record))
    }
}

/// Reads what stands at a claim's place; none if the store does not answer.
fn recorded(host: &impl Host, place: &Place) -> Option<Vec<u8>> {
    let mut name = Name::default();
    Some(host.shared(name.record(place.bucket, place.at)).ok()?.value)
}
