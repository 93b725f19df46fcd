//! What is measured.

use std::time::Duration;

use super::content::File;
use crate::processor::Placement;

/// How long a storm may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many times as long as the others cases with losses are measured: a client that loses the last
/// block of a window waits for a second, or for its server's patience.
const LOSSY_FACTOR: u32 = 5;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) clients: usize,
    /// What each asks for; 1 asks for none.
    pub(super) windowsize: u16,
    pub(super) file: File,
    pub(super) kind: Kind,
    /// Whether some blocks are lost when they are sent first.
    pub(super) is_lossy: bool,
    /// Whether clients take what a server sent by one call as one piece (`UDP_GRO`).
    pub(super) takes_segments: bool,
}

/// How a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each client fetches the file again and again, for some time.
    Steady,
    /// All clients begin at once, and each fetches the file once.
    Storm,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    Elapsed(Duration),
    /// Each client has its file, or patience has ended.
    Fetched {
        patience: Duration,
    },
}

const fn steady(name: &'static str, clients: usize, windowsize: u16, file: File) -> Case {
    Case {
        name,
        clients,
        windowsize,
        file,
        kind: Kind::Steady,
        is_lossy: false,
        takes_segments: true,
    }
}

const fn storm(name: &'static str, clients: usize, file: File) -> Case {
    Case {
        kind: Kind::Storm,
        ..steady(name, clients, 1, file)
    }
}

/// All cases, in the order in which they are measured: last come those that leave the most behind.
const CASES: [Case; 9] = [
    steady("1 client, lock-step", 1, 1, File::Large),
    steady("1 client, window 4", 1, 4, File::Large),
    steady("1 client, window 16", 1, 16, File::Large),
    steady("1 client, window 64", 1, 64, File::Large),
    Case {
        is_lossy: true,
        ..steady("1 client, window 16, 0.05 % lost", 1, 16, File::Large)
    },
    steady("64 clients, lock-step", 64, 1, File::Large),
    steady("8 clients, files of 1 KiB", 8, 1, File::Small),
    storm("256 clients at once, lock-step", 256, File::Loader),
    storm("4096 clients at once, lock-step", 4096, File::Module),
];

impl Case {
    /// The cases of a placement: storms are for all CPUs.
    pub(super) fn of(placement: Placement) -> impl Iterator<Item = Self> {
        let is_wanted =
            move |case: &Self| case.kind == Kind::Steady || placement == Placement::Free;
        CASES.into_iter().filter(is_wanted)
    }

    /// One small file.
    pub(super) const fn probe(file: File) -> Self {
        storm("probe", 1, file)
    }

    pub(super) fn until(&self, time: Duration) -> Until {
        match self.kind {
            Kind::Steady if self.is_lossy => Until::Elapsed(time * LOSSY_FACTOR),
            Kind::Steady => Until::Elapsed(time),
            Kind::Storm => Until::Fetched { patience: PATIENCE },
        }
    }
}
