//! A disk in memory that loses power, fills up, and fails.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use pxe_dhcp::Medium;

/// What a disk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Writing fails, as on a full disk.
    Full,
    /// Writing seems to work, and flushing fails: what was written since is lost.
    LosesWrites,
    /// Nothing works any more.
    Off,
}

#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What a loss of power leaves.
    durable: Vec<u8>,
    /// What the system sees.
    current: Vec<u8>,
    /// What was done since the last flush.
    pending: Vec<Op>,
    /// How many calls changed or flushed something, and after how many the power fails.
    calls: usize,
    calls_max: Option<usize>,
    flushes: usize,
    health: Health,
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

impl Disk {
    pub(crate) fn new(content: Vec<u8>) -> Arc<Self> {
        let state = State {
            durable: content.clone(),
            current: content,
            pending: Vec::new(),
            calls: 0,
            calls_max: None,
            flushes: 0,
            health: Health::Good,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// A disk whose power fails before this call that writes, cuts or flushes.
    pub(crate) fn with_power_for(calls: usize) -> Arc<Self> {
        let disk = Self::new(Vec::new());
        disk.state().calls_max = Some(calls);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.state().health = health;
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    pub(crate) fn flushes(&self) -> usize {
        self.state().flushes
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.state().current.clone()
    }

    /// What is left when the power fails: nothing of what was done since the last flush.
    pub(crate) fn after_power_loss(&self) -> Vec<u8> {
        self.state().durable.clone()
    }

    /// The same, where some of it did reach the disk, in any order, and some of it half.
    pub(crate) fn after_torn_power_loss(&self, seed: u64) -> Vec<u8> {
        let state = self.state();
        let mut bytes = state.durable.clone();
        let mut random = seed;
        for op in &state.pending {
            random = next(random);
            match (random >> 60, op) {
                (0..8, op) => op.apply(&mut bytes),
                // Sectors are written whole.
                (8..10, Op::Write(offset, data)) if data.len() > 512 => {
                    let half = data[..data.len() / 2 / 512 * 512].to_vec();
                    Op::Write(*offset, half).apply(&mut bytes);
                }
                _ => {}
            }
        }
        bytes
    }
}

/// The next of a series of numbers that look like chance; their upper bits do most.
pub(crate) fn next(number: u64) -> u64 {
    number
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

impl State {
    fn check(&self) -> io::Result<()> {
        match self.health {
            Health::Off => Err(io::Error::other("no power")),
            _ => Ok(()),
        }
    }

    fn count(&mut self) -> io::Result<()> {
        if self.calls_max.is_some_and(|max| self.calls >= max) {
            self.health = Health::Off;
        }
        self.check()?;
        self.calls += 1;
        Ok(())
    }

    fn change(&mut self, op: Op) -> io::Result<()> {
        self.count()?;
        if self.health == Health::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        op.apply(&mut self.current);
        self.pending.push(op);
        Ok(())
    }
}

impl Medium for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.check()?;
        Ok(state.current.len() as u64)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.check()?;
        let from = usize::try_from(offset).expect("a small disk");
        let found = state.current.get(from..from + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("a small disk");
        self.state().change(Op::Write(offset, bytes.to_vec()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).expect("a small disk");
        self.state().change(Op::SetLen(len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count()?;
        if state.health == Health::LosesWrites {
            // As Linux does it: the pages count as clean now, and stay what they are in memory.
            state.pending.clear();
            return Err(io::Error::other("input/output error"));
        }
        state.flushes += 1;
        for op in std::mem::take(&mut state.pending) {
            op.apply(&mut state.durable);
        }
        Ok(())
    }
}
