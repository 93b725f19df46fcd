//! Names, by BIND beside ours and by the clients of Debian.

mod ask;
mod chance;
mod checks;
mod comparison;
mod corpus;
mod generated;
mod message;
mod name;
mod odd;
mod pair;
mod questions;
mod rules;
mod stubs;
mod transfer;
mod tutorial;
mod zone;

use std::path::Path;

use tempfile::TempDir;

use crate::LoneTest;
use ask::Query;
use comparison::Findings;
use message::SOA;
use pair::Pair;
use zone::{Content, ZoneFile};

pub(crate) const TESTS: &[LoneTest] = &[
    ("names_are_answered_as_bind_does", answers),
    (
        "the_tutorials_zones_answer_all_clients_as_bind_does",
        tutorial::clients_agree,
    ),
    (
        "zone_files_are_judged_as_named_checkzone_does",
        checks::verdicts_agree,
    ),
    (
        "zones_are_transferred_to_listed_addresses_only",
        transfer::to_listed_addresses,
    ),
    ("bind_is_a_secondary_of_ours", transfer::to_bind),
    ("nsd_is_a_secondary_of_ours", transfer::to_nsd),
    ("stub_resolvers_find_names", stubs::find_names),
];

/// Real zones and invented ones, and more than 200 questions of each, to BIND and to ours.
fn answers(server: &Path) -> Result<(), String> {
    let mut batches = Vec::new();
    match corpus::directory() {
        Some(directory) => {
            let mut zones = Vec::new();
            for zone in corpus::files(&directory)? {
                if zone::check(&zone)?.is_accepted {
                    zones.push(zone);
                }
            }
            batches.extend(corpus::batches(zones));
        }
        None => println!("corpus not run: PXE_CORPUS is not set"),
    }
    let scratch = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
    batches.push(generated::zones(scratch.path())?);
    let mut findings = Findings::default();
    for batch in batches {
        findings.add(compared(server, &batch)?);
    }
    println!("{} answers compared", findings.exchanges);
    for (rule, count) in &findings.hits {
        println!("{count} differ as they should: {rule}");
    }
    findings.verdict()
}

/// Asks both servers about all these zones.
fn compared(server: &Path, zones: &[ZoneFile]) -> Result<Findings, String> {
    let scratch = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
    let pair = Pair::new(server, zones)?;
    let mut findings = Findings::default();
    for zone in zones {
        let content = Content::read(zone, scratch.path())?;
        let then = Query::plain(content.origin.clone(), SOA);
        let messages = odd::messages(&content.origin);
        for exchange in pair.ask(&questions::questions(&content), &messages, &then)? {
            findings.judge(&zone.origin, exchange);
        }
    }
    pair.end()?;
    Ok(findings)
}
