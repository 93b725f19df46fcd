//! The load: clients that read, or ask for attributes and names, as fast as they are answered.

use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;

use super::client::{Check, Client, Expected, PATIENCE, SILENT, Step};
use super::content::{self, DIRECTORY, Facts, LARGE, SMALL_COUNT};
use super::message::Call;
use crate::processor::thread_cpu_time;

/// What one READ asks for.
pub(crate) const READ_LEN: u32 = 1 << 20;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// They read the large file from its beginning to its end, each from another place.
    Read,
    /// They ask for the attributes of one small file after the other.
    Getattr,
    /// They look up one small file after the other.
    Lookup,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) clients: usize,
    /// Calls that each client has outstanding, always.
    pub(crate) depth: usize,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// So many operations were begun.
    Begun(u64),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// What the load itself used of its processor, from 0 to 1.
    pub(crate) busy: f64,
}

struct Small {
    name: String,
    handle: Vec<u8>,
    facts: Facts,
}

/// Clients of one server, with all that they know of its files.
pub(crate) struct Load {
    clients: Vec<Client>,
    large: Vec<u8>,
    large_facts: Facts,
    directory: Vec<u8>,
    small: Vec<Small>,
    scratch: Vec<u8>,
}

impl Load {
    /// Mounts a server's export, finds its files, and connects so many clients.
    ///
    /// # Errors
    /// A text: the server refuses, or its files are not those of `root`.
    pub(crate) fn new(
        mount: SocketAddrV4,
        nfs: SocketAddrV4,
        export: &str,
        root: &Path,
        clients: usize,
    ) -> Result<Self, String> {
        let call = Call::Mount { path: export };
        let top = Client::connect(mount)?.ask(&call, |reply| Ok(reply.mounted()?.to_vec()))?;
        let clients: Result<Vec<Client>, String> =
            (0..clients).map(|_| Client::connect(nfs)).collect();
        let mut clients = clients?;
        let asker = clients.first_mut().ok_or("no client")?;
        let mut find = |directory: &[u8], name: &str| {
            let call = Call::Lookup { directory, name };
            asker.ask(&call, |reply| {
                let (handle, _, facts) = reply.found()?;
                Ok((handle.to_vec(), facts))
            })
        };
        let check = |found: (Vec<u8>, Facts), path: &Path| {
            let facts = content::facts(path)?;
            match facts == found.1 {
                true => Ok((found.0, facts)),
                false => Err(format!("{}: {:?}, not {facts:?}", path.display(), found.1)),
            }
        };
        let (large, large_facts) = check(find(&top, LARGE)?, &root.join(LARGE))?;
        let mut directory = top.clone();
        for name in DIRECTORY {
            directory = find(&directory, name)?.0;
        }
        let mut small = Vec::new();
        for number in 0..SMALL_COUNT {
            let name = content::small_name(number);
            let path = content::directory(root).join(&name);
            let (handle, facts) = check(find(&directory, &name)?, &path)?;
            small.push(Small {
                name,
                handle,
                facts,
            });
        }
        Ok(Self {
            clients,
            large,
            large_facts,
            directory,
            small,
            scratch: vec![0; READ_LEN as usize],
        })
    }

    /// Reads the large file and compares each byte.
    ///
    /// # Errors
    /// A text, if anything differs.
    pub(crate) fn verify(&mut self) -> Result<(), String> {
        let case = Case {
            operation: Operation::Read,
            clients: 1,
            depth: 4,
        };
        let reads = self.reads();
        self.run(case, Check::Whole, Until::Begun(reads)).map(drop)
    }

    /// How many READs the large file takes.
    fn reads(&self) -> u64 {
        self.large_facts.len / u64::from(READ_LEN)
    }

    /// Does this until it is enough, and waits for the last reply.
    ///
    /// # Errors
    /// A text: a connection fails, or a reply is wrong.
    pub(crate) fn run(
        &mut self,
        case: Case,
        check: Check,
        until: Until,
    ) -> Result<Outcome, String> {
        let mut clients = std::mem::take(&mut self.clients);
        let mut scratch = std::mem::take(&mut self.scratch);
        let active = clients.get_mut(..case.clients).ok_or("too few clients")?;
        let outcome = self.turns(case, check, until, active, &mut scratch);
        (self.clients, self.scratch) = (clients, scratch);
        outcome
    }

    fn turns(
        &self,
        case: Case,
        check: Check,
        until: Until,
        clients: &mut [Client],
        scratch: &mut [u8],
    ) -> Result<Outcome, String> {
        let (start, cpu) = (Instant::now(), thread_cpu_time());
        // Where each client is; they begin in different places.
        let share = |index: usize, all: u64| index as u64 * all / case.clients as u64;
        let all = match case.operation {
            Operation::Read => self.reads(),
            Operation::Getattr | Operation::Lookup => self.small.len() as u64,
        };
        let mut places: Vec<u64> = (0..case.clients).map(|index| share(index, all)).collect();
        let (mut begun, mut done, mut bytes) = (0, 0, 0);
        for (client, place) in clients.iter_mut().zip(&mut places) {
            for _ in 0..case.depth {
                self.begin(case.operation, client, place)?;
                begun += 1;
            }
        }
        let mut ready: Vec<usize> = (0..case.clients).collect();
        while begun > done {
            // One client alone waits in its socket: that is a system call less.
            let flags = match case.clients {
                1 => MsgFlags::empty(),
                _ => {
                    wait(clients, &mut ready)?;
                    MsgFlags::MSG_DONTWAIT
                }
            };
            for &index in &ready {
                let (Some(client), Some(place)) = (clients.get_mut(index), places.get_mut(index))
                else {
                    continue;
                };
                loop {
                    let len = match client.step(check, flags, scratch)? {
                        Step::Empty if flags.is_empty() => return Err(SILENT.to_owned()),
                        Step::Empty => break,
                        Step::Taken => continue,
                        Step::Done(len) => len,
                    };
                    bytes += len;
                    done += 1;
                    let is_over = match until {
                        Until::Elapsed(limit) => start.elapsed() >= limit,
                        Until::Begun(limit) => begun >= limit,
                    };
                    if !is_over {
                        self.begin(case.operation, client, place)?;
                        begun += 1;
                    }
                    // Nothing can have come for what has just been sent.
                    if client.outstanding() <= 1 {
                        break;
                    }
                }
            }
        }
        let elapsed = start.elapsed();
        Ok(Outcome {
            operations: done,
            bytes,
            elapsed,
            busy: (thread_cpu_time() - cpu).as_secs_f64() / elapsed.as_secs_f64(),
        })
    }

    fn begin(
        &self,
        operation: Operation,
        client: &mut Client,
        place: &mut u64,
    ) -> Result<(), String> {
        let small = self.small.get(*place as usize % self.small.len());
        let small = small.ok_or("no small file")?;
        let (call, expected, all) = match operation {
            Operation::Read => {
                let (offset, len) = (*place * u64::from(READ_LEN), READ_LEN);
                let (file, facts) = (&self.large, self.large_facts);
                (
                    Call::Read { file, offset, len },
                    Expected::Data { facts, offset, len },
                    self.reads(),
                )
            }
            Operation::Getattr => (
                Call::Getattr {
                    file: &small.handle,
                },
                Expected::Attributes(small.facts),
                self.small.len() as u64,
            ),
            Operation::Lookup => (
                Call::Lookup {
                    directory: &self.directory,
                    name: &small.name,
                },
                Expected::Found(small.facts),
                self.small.len() as u64,
            ),
        };
        *place = (*place + 1) % all;
        client.send(&call, expected)
    }
}

/// Waits until some of the clients can go on.
fn wait(clients: &[Client], ready: &mut Vec<usize>) -> Result<(), String> {
    let mut waits: Vec<PollFd<'_>> = clients
        .iter()
        .map(|client| PollFd::new(client.as_fd(), PollFlags::POLLIN))
        .collect();
    let patience = PollTimeout::try_from(PATIENCE).map_err(|error| error.to_string())?;
    match poll(&mut waits, patience) {
        Ok(0) => return Err(SILENT.to_owned()),
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(format!("poll: {errno}")),
    }
    ready.clear();
    ready.extend(waits.iter().enumerate().filter_map(|(index, wait)| {
        let is_ready = wait.revents().is_some_and(|events| !events.is_empty());
        is_ready.then_some(index)
    }));
    Ok(())
}
