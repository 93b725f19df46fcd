//! Kea's own load, `perfdhcp`, as a second opinion: a generator that nobody here wrote.

use std::net::Ipv4Addr;

use pxe_test_lab::Namespace;

/// The share of exchanges that may be lost for a rate to count as reached.
const LOSS_MAX: f64 = 0.01;

/// The greatest of these rates, per second, of which no more than 1 % is lost; 0 if none.
///
/// So many clients take turns: more than the pool has room for would measure the pool.
///
/// # Errors
/// A text, if perfdhcp cannot be run or says something else than expected.
pub(crate) fn greatest_rate(
    namespace: &Namespace,
    server: Ipv4Addr,
    rates: &[u32],
    seconds: u32,
    clients: u32,
) -> Result<u32, String> {
    let mut reached = 0;
    for (turn, rate) in rates.iter().enumerate() {
        let mut command = namespace.command("taskset");
        // A seed for each run: other transactions than before.
        let seed = (turn + 1).to_string();
        let clients = clients.to_string();
        command.args(["-c", "0", "perfdhcp", "-4", "-R", &clients, "-s", &seed]);
        command.args(["-r", &rate.to_string(), "-p", &seconds.to_string()]);
        let output = command.arg(server.to_string()).output();
        let output = output.map_err(|error| format!("perfdhcp: {error}"))?;
        // Its exit status is 3 where anything was lost.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (sent, received) = exchanges(&text).ok_or_else(|| format!("perfdhcp said:\n{text}"))?;
        let wanted = f64::from(*rate) * f64::from(seconds);
        let is_reached =
            received >= wanted * (1.0 - LOSS_MAX) && received >= sent * (1.0 - LOSS_MAX);
        if !is_reached {
            break;
        }
        reached = *rate;
    }
    Ok(reached)
}

/// DISCOVERs sent and ACKs received.
fn exchanges(text: &str) -> Option<(f64, f64)> {
    let (offers, acks) = text.split_once("REQUEST-ACK")?;
    let number = |text: &str, label: &str| -> Option<f64> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))?;
        line.trim().parse().ok()
    };
    Some((
        number(offers, "sent packets:")?,
        number(acks, "received packets:")?,
    ))
}
