//! `[[tftp.rewrite]]` at work: rules fill in what is known of a machine, and tell what they did.

use std::sync::Arc;

use async_trait::async_trait;
use pxe_tree::{
    FileRequest, RewriteLookup, RewriteRules, RewriteSource, RewriteValues, Rewritten, Source,
};

use crate::config::LogLevel;
use crate::decisions::Identity;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::Hub;

/// This source, asked for what the rules make of a path.
pub(crate) fn rewriting(
    source: Box<dyn Source>,
    rules: &Arc<RewriteRules>,
    hub: &Arc<Hub>,
) -> RewriteSource {
    let observer = Arc::clone(hub);
    RewriteSource::new(Arc::from(source), Arc::clone(rules))
        .with_lookup(MachineValues(Arc::clone(hub)))
        .on_rewrite(move |request, rewritten| tell(&observer, request, rewritten))
}

/// What the server knows of the machine at an address.
#[derive(Debug)]
struct MachineValues(Arc<Hub>);

#[async_trait]
impl RewriteLookup for MachineValues {
    async fn look_up(&self, request: &FileRequest<'_>, values: &mut RewriteValues) {
        let local = request.local.map(|local| local.ip().to_canonical());
        let ip = request.remote.ip().to_canonical();
        add_values(&self.0.identity(ip, local).await, values);
    }
}

/// Adds what is known of a machine.
pub(crate) fn add_values(identity: &Identity, values: &mut RewriteValues) {
    if let Some(mac) = identity.mac {
        values.insert("mac", mac.to_string().replace(':', "-"));
    }
    if let Some(uuid) = identity.uuid {
        values.insert("uuid", uuid.to_string());
    }
    if let Some(arch) = identity.arch {
        values.insert("arch", arch.to_string());
    }
}

/// What rules did to a path, in words.
pub(crate) fn said(rules: &[&str]) -> String {
    let rules = rules.iter().map(|rule| printable(rule));
    format!("by {}", rules.collect::<Vec<_>>().join(", "))
}

/// A fact of the machine: its timeline shows why it got another file than it asked for.
fn tell(hub: &Hub, request: &FileRequest<'_>, rewritten: &Rewritten<'_>) {
    let asked = printable(&rewritten.asked.to_string());
    let by = said(rewritten.rules);
    let (name, level, text) = match rewritten.outcome {
        Ok(path) => {
            let path = printable(&path.to_string());
            let text = format!("looked for {path} in the place of {asked}, {by}");
            ("rewritten", LogLevel::Debug, text)
        }
        Err(kind) => {
            let text = format!("{asked} is refused {by}: {kind}");
            ("rewrite_refused", LogLevel::Warn, text)
        }
    };
    let ip = request.remote.ip().to_canonical();
    let what = What::Note { name, text };
    hub.tell(
        Fact::new(hub.now(), Protocol::Tftp, what).with_ip(ip),
        level,
    );
}
