//! The load: connections that ask as fast as they are answered.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::MsgFlags;

use super::client::{Asked, Check, Client, PATIENCE, SILENT, Step};
use super::content::{File, Files};
use super::server::ADDRESS;
use crate::processor::thread_cpu_time;
use crate::random::SplitMix;

/// What is asked for at once, where a part of the large file is.
const RANGE_LEN: u64 = 64 << 10;
/// One in so many bodies is looked at whole, also while it is measured; of the large file none is.
const WHOLE_EACH: u64 = 16;
/// Responses after which a connection is replaced by another: lighttpd closes it after 65,535 at most.
const RESPONSES_MAX: u32 = 30_000;
/// How often something is taken from one connection while others wait.
const TURNS_MAX: usize = 3;
/// The first of the addresses that connections come from. Each has one of its own in each run, as
/// machines have: servers may bound what one client asks for.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
/// Room for what is taken at once.
const SCRATCH_LEN: usize = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// One small file after the other.
    Small,
    /// The same, each by a connection of its own.
    Fresh,
    /// 64 KiB of the large file, from anywhere.
    Range,
    /// One file of a mebibyte after the other.
    Medium,
    /// All of the large file, again and again.
    Large,
    /// The same of the one in the image.
    LargeInImage,
}

impl What {
    /// Whether a response is so long that it is broken off.
    pub(super) const fn is_large(self) -> bool {
        matches!(self, Self::Large | Self::LargeInImage)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) what: What,
    pub(super) connections: usize,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Elapsed(Duration),
    /// So many responses have come.
    Done(u64),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) responses: u64,
    /// Of bodies.
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    /// What the load itself used of its processor, from 0 to 1.
    pub(super) busy: f64,
}

/// What there is to ask for, and what comes next.
pub(super) struct Load<'f> {
    files: &'f Files,
    random: SplitMix,
    asked: u64,
    /// How many connections there were, but for those in the place of others.
    connected: u32,
    scratch: Vec<u8>,
}

impl<'f> Load<'f> {
    pub(super) fn new(files: &'f Files) -> Self {
        Self {
            files,
            random: SplitMix(1),
            asked: 0,
            connected: 0,
            scratch: vec![0; SCRATCH_LEN],
        }
    }

    /// Asks once, and says whether the server answers.
    pub(super) fn is_answered(&mut self) -> bool {
        let case = Case {
            name: "",
            what: What::Small,
            connections: 1,
        };
        self.run(case, Check::Whole, Until::Done(1)).is_ok()
    }

    /// Asks for everything, and compares each byte; of large files for these only.
    ///
    /// # Errors
    /// A text, if anything differs.
    pub(super) fn verify(&mut self, large: &[What]) -> Result<(), String> {
        let mut all = vec![
            (What::Small, self.files.small.len() as u64),
            (What::Fresh, self.files.small.len() as u64),
            (What::Medium, self.files.medium.len() as u64),
            (What::Range, 256),
        ];
        all.extend(large.iter().map(|&what| (what, 1)));
        for (what, count) in all {
            let case = Case {
                name: "",
                what,
                connections: 1,
            };
            self.run(case, Check::Whole, Until::Done(count))
                .map_err(|error| format!("{what:?}: {error}"))?;
        }
        Ok(())
    }

    /// Does this until it is enough. Responses that are under way then are waited for, unless they
    /// are those of a large file.
    ///
    /// # Errors
    /// A text: a connection fails, or a response is wrong.
    pub(super) fn run(
        &mut self,
        case: Case,
        check: Check,
        until: Until,
    ) -> Result<Outcome, String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.turns(case, check, until, &mut scratch);
        self.scratch = scratch;
        outcome
    }

    fn turns(
        &mut self,
        case: Case,
        check: Check,
        until: Until,
        scratch: &mut [u8],
    ) -> Result<Outcome, String> {
        let from = Ipv4Addr::from_bits(FROM.to_bits() + self.connected);
        self.connected += case.connections as u32;
        let mut clients = Clients::connect(from, case.connections)?;
        let (start, cpu) = (Instant::now(), thread_cpu_time());
        let (mut begun, mut done, mut bytes) = (0, 0, 0);
        for client in &mut clients.all {
            client.ask(self.next(case.what, check))?;
            begun += 1;
        }
        let mut ready: Vec<usize> = (0..case.connections).collect();
        let is_over = |done: u64| match until {
            Until::Elapsed(limit) => start.elapsed() >= limit,
            Until::Done(limit) => done >= limit,
        };
        let ends_at_once = case.what.is_large();
        while begun > done && !(ends_at_once && is_over(done)) {
            // One connection alone waits in its socket: that is a system call less.
            let flags = match case.connections {
                1 => MsgFlags::empty(),
                _ => {
                    clients.wait(&mut ready)?;
                    MsgFlags::MSG_DONTWAIT
                }
            };
            for &index in &ready {
                // Some of what is there, and no more: all connections have their turn.
                let mut turns = TURNS_MAX;
                while turns > 0 {
                    turns -= 1;
                    match clients.get(index)?.step(flags, scratch)? {
                        Step::Empty if flags.is_empty() => return Err(SILENT.to_owned()),
                        Step::Empty => break,
                        Step::More(len) => bytes += len,
                        Step::Taken(len) => {
                            bytes += len;
                            break;
                        }
                        Step::Done(len) => {
                            bytes += len;
                            done += 1;
                            if !is_over(done) {
                                if case.what == What::Fresh
                                    || clients.get(index)?.asked() >= RESPONSES_MAX
                                {
                                    clients.renew(index)?;
                                }
                                clients.get(index)?.ask(self.next(case.what, check))?;
                                begun += 1;
                            }
                            // Nothing can have come for what has just been sent.
                            break;
                        }
                    }
                }
            }
        }
        let elapsed = start.elapsed();
        Ok(Outcome {
            responses: done,
            bytes,
            elapsed,
            busy: (thread_cpu_time() - cpu).as_secs_f64() / elapsed.as_secs_f64(),
        })
    }

    /// The next request.
    fn next(&mut self, what: What, check: Check) -> Asked<'f> {
        self.asked += 1;
        let files = self.files;
        let turn = |all: &'f [File]| all.get(self.asked as usize % all.len());
        let file = match what {
            What::Small | What::Fresh => turn(&files.small),
            What::Medium => turn(&files.medium),
            What::LargeInImage => Some(&files.large_in_image),
            What::Range | What::Large => None,
        };
        let is_small = matches!(what, What::Small | What::Fresh);
        let is_sample = !what.is_large() && self.asked.is_multiple_of(WHOLE_EACH);
        let check = match is_small || is_sample {
            true => Check::Whole,
            false => check,
        };
        let mut asked = Asked::whole(file.unwrap_or(&files.large), check);
        asked.is_last = what == What::Fresh;
        if what == What::Range {
            let places = files.large.len - RANGE_LEN + 1;
            // Of no weight here: the first bytes are drawn a little more often.
            let first = self.random.next() % places;
            asked.range = Some((first, first + RANGE_LEN - 1));
        }
        asked
    }
}

/// Connections, and what wakes when one of them has something.
struct Clients<'f> {
    all: Vec<Client<'f>>,
    /// The address of the first.
    from: Ipv4Addr,
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl<'f> Clients<'f> {
    fn connect(from: Ipv4Addr, count: usize) -> Result<Self, String> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let mut clients = Self {
            all: Vec::new(),
            from,
            epoll: epoll.map_err(|errno| format!("epoll: {errno}"))?,
            events: vec![EpollEvent::empty(); count],
        };
        for index in 0..count {
            let client = clients.connect_one(index)?;
            clients.all.push(client);
        }
        Ok(clients)
    }

    fn connect_one(&self, index: usize) -> Result<Client<'f>, String> {
        let from = Ipv4Addr::from_bits(self.from.to_bits() + index as u32);
        let client = Client::connect(from, ADDRESS)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        let added = self.epoll.add(&client, event);
        added.map_err(|errno| format!("epoll: {errno}"))?;
        Ok(client)
    }

    fn get(&mut self, index: usize) -> Result<&mut Client<'f>, String> {
        let client = self.all.get_mut(index);
        client.ok_or_else(|| "no such connection".to_owned())
    }

    /// Another connection in place of one that has ended.
    fn renew(&mut self, index: usize) -> Result<(), String> {
        let client = self.connect_one(index)?;
        *self.get(index)? = client;
        Ok(())
    }

    /// Waits until some of them can go on.
    fn wait(&mut self, ready: &mut Vec<usize>) -> Result<(), String> {
        let patience = EpollTimeout::try_from(PATIENCE).map_err(|error| error.to_string())?;
        let count = match self.epoll.wait(&mut self.events, patience) {
            Ok(0) => return Err(SILENT.to_owned()),
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(format!("epoll: {errno}")),
        };
        ready.clear();
        let events = self.events.iter().take(count);
        ready.extend(events.map(|event| event.data() as usize));
        Ok(())
    }
}
