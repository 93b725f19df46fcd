//! Serves a zone file: `cargo run -p pxe-dns --example serve -- ORIGIN FILE ADDRESS`, for example
//! `matrix.lan db.matrix.lan 127.0.0.1:5353`; then `dig @127.0.0.1 -p 5353 matrix.lan SOA`.

use std::error::Error;
use std::time::Duration;

use pxe_dns::{Name, ServedZone, Server, Service, ZoneFile, ZoneFileLimits};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [origin, path, address] = arguments.as_slice() else {
        return Err("usage: serve ORIGIN FILE ADDRESS:PORT".into());
    };
    let origin: Name = origin.parse()?;
    // It may include any file that this program may read.
    let files = |path: &str, _: usize| std::fs::read(path).map_err(|error| error.to_string());
    let file = ZoneFile::read(&origin, path, &files, &ZoneFileLimits::default());
    for finding in &file.findings {
        eprintln!("{finding}");
    }
    let zone = file.zone.ok_or("there is no zone to serve")?;

    // Bind first; privileges can be dropped then.
    let udp = Server::bind_udp(address)?;
    let tcp = Server::bind_tcp(udp.local_addr())?;
    println!("serving {origin} at {}", udp.local_addr());
    let service = Service::builder()
        .zone(ServedZone::new(zone))
        .on_event(|event| println!("{event:?}"))
        .build();
    let handle = Server::new(service).listen(udp).listen(tcp).start()?;
    tokio::signal::ctrl_c().await?;
    handle.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
