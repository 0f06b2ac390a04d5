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
    record: Vec<u8>,
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
        let bytes = host.shared(Name::default().record(place.bucket, place.at)).ok()?.value;
        let record = Record::read(&bytes)?;
        let is_this = record.fence == place.fence && record.tag == keyed.tag && record.head == keyed.head;
        if !is_this || record.kind == Kind::Unknown {
            return None;
        }
        tell(host, answer::known(Some(&record)));
        Some(Self {
            record: bytes,
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
        let record = Record::read(&self.record).filter(|_| asks)?;
        if record.kind != Kind::Response {
            vm.metrics.count(Count::Tombstone);
            let problem = Problem::ResponseNotRetained {
                original_status: Some(record.status),
                location: Pairs::new(record.pairs).first(b"location").map(<[u8]>::to_vec),
            };
            return Some(respond(host, root, &problem, self.dialect));
        }
        let status = self.policy.answer_status.unwrap_or(record.status);
        // If the host refuses, the upstream's own response goes on.
        host.respond(status, None, record.pairs, record.body).ok()?;
        vm.metrics.count(Count::Answer);
        Some(Mend::of(&record))
    }
}
