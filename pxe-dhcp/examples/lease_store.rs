//! Measures the store in a file, and what an engine needs for its leases:
//! `lease_store FOLDER [LEASES]`, by default 100,000 of them. Build it with `--release`.

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pxe_core::{MacAddr, Now, UnixTime};
use pxe_dhcp::{
    Commit, Config, Engine, LeaseRecord, LeaseState, LeaseStore, NoBoot, RedbStore, Subnet,
};

fn record(number: u32, version: u64) -> LeaseRecord {
    let [a, b, c, d] = number.to_be_bytes();
    let seen = UnixTime::from_seconds(1_795_000_000);
    let expires = seen.saturating_add_seconds(86_400);
    let address = Ipv4Addr::from_bits(0x0a00_0001 + number);
    let mac = MacAddr::new([2, 0, a, b, c, d]);
    let mut lease = LeaseRecord::new(address, mac, LeaseState::Bound { expires }, seen);
    lease.version = version;
    lease.client_id = Some(vec![1, 2, 0, a, b, c, d]);
    lease.host_name = Some(format!("machine-{number}").into_bytes());
    lease.vendor_class = Some(b"PXEClient:Arch:00007:UNDI:003000".to_vec());
    lease
}

/// A percentile of durations, which it sorts.
fn percentile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    let index = (durations.len() * percent / 100).min(durations.len() - 1);
    durations[index]
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn flushes(folder: &Path) -> Result<(), Box<dyn Error>> {
    let path = folder.join("flushes");
    let file = fs::File::create(&path)?;
    file.set_len(4 << 20)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for number in 0..1000 {
        file.write_all_at(&[7; 4096], number * 4096)?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("fdatasync of 4 KiB: p50 {p50:?}, p99 {p99:?}");
    fs::remove_file(path)?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: lease_store FOLDER [LEASES]")?;
    let folder = Path::new(&folder);
    let leases: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let path = folder.join("measured.redb");
    flushes(folder)?;

    let store = RedbStore::open(&path)?;
    let start = Instant::now();
    for first in (0..leases).step_by(1000) {
        let batch = (first..leases.min(first + 1000)).map(|n| Commit::new(record(n, 1), None));
        for result in store.commit(batch.collect()).await {
            result?;
        }
    }
    let size = || fs::metadata(&path).map(|file| file.len() >> 20);
    println!(
        "{leases} leases written in {:?}, {} MiB",
        start.elapsed(),
        size()?
    );
    drop(store);

    let before = resident_kib();
    let start = Instant::now();
    let store = RedbStore::open(&path)?;
    println!("opened and checked in {:?}", start.elapsed());
    let start = Instant::now();
    let subnet =
        Subnet::new("10.0.0.0/8".parse()?).with_pool([10, 0, 0, 1].into(), [10, 200, 0, 0].into());
    let config = Config::new().with_subnet(subnet);
    let mut engine = Engine::new(config, Arc::new(NoBoot::new()), 0)?;
    let seen = UnixTime::from_seconds(1_795_000_000);
    let now = Now::new(pxe_core::Instant::EPOCH, seen);
    let mut after = None;
    loop {
        let page = store.load(after, 1024).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.address);
        engine.load(now, page);
    }
    let loaded = engine.leases().count();
    println!(
        "{loaded} leases loaded into an engine in {:?}",
        start.elapsed()
    );
    println!(
        "memory: {} KiB more than before, {} in all",
        resident_kib() - before,
        resident_kib()
    );

    let mut versions = vec![1; leases as usize];
    let (mut next_new, mut next_renewal, mut random) = (leases, 0, 1_u64);
    for kind in ["new", "renewed in order", "renewed at random"] {
        for size in [1_u32, 10, 100] {
            let mut times = Vec::new();
            let start = Instant::now();
            while times.len() < 300 {
                let batch: Vec<Commit> = (0..size)
                    .map(|_| {
                        let number = match kind {
                            "new" => {
                                next_new += 1;
                                return Commit::new(record(next_new, 1), None);
                            }
                            "renewed in order" => {
                                next_renewal = (next_renewal + 1) % leases;
                                next_renewal
                            }
                            _ => {
                                random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                                (random >> 33) as u32 % leases
                            }
                        };
                        let version = &mut versions[number as usize];
                        *version += 1;
                        Commit::new(record(number, *version), Some(*version - 1))
                    })
                    .collect();
                let start = Instant::now();
                for result in store.commit(batch).await {
                    result?;
                }
                times.push(start.elapsed());
            }
            let per_second = f64::from(size) * times.len() as f64 / start.elapsed().as_secs_f64();
            let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
            println!("{kind}, batches of {size}: {per_second:.0}/s, p50 {p50:?}, p99 {p99:?}");
        }
    }
    println!("{} MiB", size()?);
    drop(store);
    fs::remove_file(&path)?;
    Ok(())
}
