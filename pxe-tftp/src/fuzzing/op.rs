//! What may happen to an engine, read from fuzz input.

/// Numbers from fuzz input; zeros when it is used up.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// One thing that happens to an engine.
#[derive(Debug)]
pub(super) enum Op<'a> {
    /// Any datagram.
    Datagram {
        peer: u8,
        socket: u8,
        payload: &'a [u8],
    },
    /// A request that is likely to be a good one.
    Request {
        peer: u8,
        name: u8,
        options: u8,
        value: u16,
    },
    /// An ACK of what this peer got last, or of what lies so far behind it.
    Ack {
        peer: u8,
        behind: u16,
    },
    /// An ERROR to where its last packet came from.
    Error {
        peer: u8,
    },
    /// Everything that is asked for is given, and everything is sent.
    Drive {
        len: u32,
    },
    Time {
        micros: u64,
    },
    Outputs {
        most: u8,
    },
    Transmits {
        most: u8,
        segments: u8,
    },
    Accept {
        len: u32,
        mtu: u16,
    },
    Refuse,
    Drop,
    Opened,
    NotOpened,
    Data {
        cut: u8,
        displaced: bool,
    },
    DataFailed,
    SendFailed {
        peer: u8,
        failure: u8,
    },
    Reconfigure,
    ShutDown,
}

impl<'a> Op<'a> {
    pub(super) fn decode(input: &mut Input<'a>) -> Self {
        match input.byte() % 25 {
            0 => {
                let (peer, socket) = (input.byte(), input.byte());
                let len = usize::from(input.byte());
                let payload = input.take(len);
                Self::Datagram {
                    peer,
                    socket,
                    payload,
                }
            }
            1 | 2 => Self::Request {
                peer: input.byte(),
                name: input.byte(),
                options: input.byte(),
                value: input.word(),
            },
            3 => Self::Error { peer: input.byte() },
            4..=7 => Self::Ack {
                peer: input.byte(),
                behind: match input.byte() {
                    0 => input.word(),
                    1..=40 => 1,
                    41..=60 => u16::MAX,
                    _ => 0,
                },
            },
            8 => Self::Time {
                micros: u64::from(input.word()) << (input.byte() % 16),
            },
            23 => Self::Drive {
                len: u32::from(input.word()) << (input.byte() % 4),
            },
            9..=11 => Self::Outputs { most: input.byte() },
            12..=14 => Self::Transmits {
                most: input.byte(),
                segments: input.byte(),
            },
            15 | 16 => Self::Accept {
                len: u32::from(input.word()) << (input.byte() % 9),
                mtu: input.word(),
            },
            17 => match input.byte() % 4 {
                0 => Self::Drop,
                _ => Self::Refuse,
            },
            18 => match input.byte() % 8 {
                0 => Self::NotOpened,
                _ => Self::Opened,
            },
            19..=21 => match input.byte() {
                0 => Self::DataFailed,
                1 => Self::Data {
                    cut: input.byte(),
                    displaced: true,
                },
                cut => Self::Data {
                    cut,
                    displaced: false,
                },
            },
            22 => Self::SendFailed {
                peer: input.byte(),
                failure: input.byte(),
            },
            _ => match input.byte() {
                0 => Self::ShutDown,
                1..=250 => Self::Drive { len: 100 },
                _ => Self::Reconfigure,
            },
        }
    }
}
