//! Asking servers that nobody would want to have.

mod answers;
mod cache;
mod fake;
mod servers;
mod trust;

use fake::{Fake, name};
use pxe_dns::{
    ForwardError, Forwarder, HickoryForwarder, HickoryForwarderBuilder, Question, RecordType,
    Resolved, Upstream,
};

fn asking(fakes: &[&Fake]) -> HickoryForwarderBuilder {
    let upstreams: Vec<Upstream> = fakes.iter().map(|fake| fake.upstream()).collect();
    HickoryForwarder::builder().upstreams(upstreams)
}

fn forwarder(fakes: &[&Fake]) -> HickoryForwarder {
    asking(fakes).build().expect("a forwarder")
}

async fn ask(
    forwarder: &HickoryForwarder,
    text: &str,
    kind: RecordType,
) -> Result<Resolved, ForwardError> {
    forwarder.resolve(Question::new(&name(text), kind)).await
}

/// Addresses of a name, after the aliases.
fn addresses(resolved: &Resolved) -> Vec<&[u8]> {
    let addresses = resolved.answers.iter();
    let addresses = addresses.filter(|record| record.kind == RecordType::A);
    addresses.map(|record| &record.data[..]).collect()
}
