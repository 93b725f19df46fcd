//! What one client knows of its transfer: which block comes next, and what is to be said.

use super::content::{Content, File};
use super::packet::{BLKSIZE_DEFAULT, Packet, Wish};
use crate::random::SplitMix;

/// Of so many blocks the first sending of one is lost, where losses are simulated: 0.05 %.
const LOST_OF: u64 = 2000;

/// What a client does with what it heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Wait,
    /// It sends an ACK for this block.
    Ack(u16),
    /// The same, and the file is complete.
    Done(u16),
}

/// A file that is fetched, from its request on, by the rules of RFC 7440.
#[derive(Debug)]
pub(super) struct Transfer {
    file_len: u64,
    wish: Wish,
    blksize: usize,
    windowsize: u16,
    /// Where the number of a simulated loss begins; `None` if nothing is to be lost.
    loss_seed: Option<u64>,
    is_granted: bool,
    /// The number of the next block, beyond 16 bits; the first is 1.
    expected: u64,
    /// Blocks beyond this one are sent for the first time.
    highest: u64,
    /// Blocks since the last ACK.
    unacknowledged: u16,
    /// A block is missing, and the server was told so.
    is_told: bool,
}

impl Transfer {
    pub(super) fn new(file: File, large_mib: u64, wish: Wish, loss_seed: Option<u64>) -> Self {
        Self {
            file_len: file.len(large_mib),
            wish,
            blksize: BLKSIZE_DEFAULT,
            windowsize: 1,
            loss_seed,
            is_granted: false,
            expected: 1,
            highest: 0,
            unacknowledged: 0,
            is_told: false,
        }
    }

    /// The window that the server granted.
    pub(super) const fn windowsize(&self) -> u16 {
        self.windowsize
    }

    /// Bytes of the file that are there.
    pub(super) fn received(&self) -> u64 {
        ((self.expected - 1) * self.blksize as u64).min(self.file_len)
    }

    /// The length of a whole DATA packet.
    pub(super) const fn packet_len(&self) -> usize {
        super::packet::HEAD_LEN + self.blksize
    }

    /// The ACK that says how far it is, to be sent again after a silence; `None`: nothing has been
    /// heard yet, so it is the request that is sent again.
    pub(super) const fn again(&mut self) -> Option<u16> {
        self.unacknowledged = 0;
        self.is_told = false;
        match self.is_granted {
            true => Some((self.expected - 1) as u16),
            false => None,
        }
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// A text: it is wrong.
    pub(super) fn hear(&mut self, content: &Content, packet: &[u8]) -> Result<Next, String> {
        match Packet::read(packet)? {
            Packet::Data { block, data } => self.data(content, block, data),
            Packet::Oack(options) => self.oack(&options),
            Packet::Error(message) => Err(format!("ERROR: {message}")),
        }
    }

    fn oack(&mut self, options: &[(String, u64)]) -> Result<Next, String> {
        if self.is_granted {
            // Sent again: the first ACK was late, or this one was.
            return Ok(match self.expected {
                1 => Next::Ack(0),
                _ => Next::Wait,
            });
        }
        for (name, value) in options {
            let is_right = match name.as_str() {
                "tsize" => *value == self.file_len,
                "blksize" => {
                    self.blksize = *value as usize;
                    *value == u64::from(self.wish.blksize)
                }
                "windowsize" => {
                    self.windowsize = *value as u16;
                    (1..=u64::from(self.wish.windowsize)).contains(value)
                }
                _ => false,
            };
            if !is_right {
                return Err(format!(
                    "{name} {value} is granted; {:?} was asked",
                    self.wish
                ));
            }
        }
        self.is_granted = true;
        Ok(Next::Ack(0))
    }

    fn data(&mut self, content: &Content, block: u16, data: &[u8]) -> Result<Next, String> {
        self.is_granted = true;
        let ahead = i64::from(block.wrapping_sub(self.expected as u16) as i16);
        let number = self.expected.wrapping_add_signed(ahead);
        if number > self.highest && ahead >= 0 {
            self.highest = number;
            if self.is_lost(number) {
                return Ok(Next::Wait);
            }
        }
        if ahead < 0 {
            // Each block that is repeated is acknowledged again in lock-step (RFC 1350); of a
            // window, only its last.
            let is_last = ahead == -1 && self.unacknowledged == 0;
            return Ok(match self.windowsize == 1 || is_last {
                true => Next::Ack((self.expected - 1) as u16),
                false => Next::Wait,
            });
        }
        if ahead > 0 {
            let is_told = std::mem::replace(&mut self.is_told, true);
            self.unacknowledged = 0;
            return Ok(match is_told {
                true => Next::Wait,
                false => Next::Ack((self.expected - 1) as u16),
            });
        }
        let offset = (number - 1) * self.blksize as u64;
        let wanted = self
            .file_len
            .saturating_sub(offset)
            .min(self.blksize as u64);
        if data.len() as u64 != wanted || !content.is_at(offset, data) {
            let len = data.len();
            return Err(format!(
                "block {number} of {len} bytes, not the {wanted} at {offset}"
            ));
        }
        self.expected += 1;
        self.unacknowledged += 1;
        self.is_told = false;
        if data.len() < self.blksize {
            return Ok(Next::Done(block));
        }
        Ok(match self.unacknowledged == self.windowsize {
            true => {
                self.unacknowledged = 0;
                Next::Ack(block)
            }
            false => Next::Wait,
        })
    }

    /// Whether the first sending of a block is to be lost: the same blocks for each server.
    fn is_lost(&self, number: u64) -> bool {
        let Some(seed) = self.loss_seed else {
            return false;
        };
        SplitMix(seed << 32 ^ number).next().is_multiple_of(LOST_OF)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{DATA, head, oack};
    use super::*;

    const WISH: Wish = Wish {
        blksize: 1024,
        windowsize: 4,
    };

    fn block(content: &Content, number: u16) -> Vec<u8> {
        let file = content.prefix(File::Module.len(0));
        let start = usize::from(number - 1) * 1024;
        let data = &file[start..file.len().min(start + 1024)];
        [&head(DATA, number)[..], data].concat()
    }

    fn begun(content: &Content, loss_seed: Option<u64>) -> Transfer {
        let mut transfer = Transfer::new(File::Module, 0, WISH, loss_seed);
        assert_eq!(transfer.again(), None);
        let heard = transfer.hear(content, &oack(64 << 10, WISH));
        assert_eq!(heard, Ok(Next::Ack(0)));
        transfer
    }

    #[test]
    fn a_window_is_acknowledged_at_its_end_and_the_file_at_its_own() {
        let content = Content::new();
        let mut transfer = begun(&content, None);
        for number in 1..=65 {
            let wanted = match number {
                65 => Next::Done(65),
                _ if number % 4 == 0 => Next::Ack(number),
                _ => Next::Wait,
            };
            let heard = transfer.hear(&content, &block(&content, number));
            assert_eq!(heard, Ok(wanted), "{number}");
        }
        assert_eq!(transfer.received(), 64 << 10);
    }

    #[test]
    fn a_missing_block_is_told_once_and_a_window_begins_behind_the_last_good_one() {
        let content = Content::new();
        let mut transfer = begun(&content, None);
        let mut hear = |number| transfer.hear(&content, &block(&content, number));
        assert_eq!(hear(1), Ok(Next::Wait));
        assert_eq!(hear(3), Ok(Next::Ack(1)));
        assert_eq!(hear(4), Ok(Next::Wait));
        for number in 2..5 {
            assert_eq!(hear(number), Ok(Next::Wait));
        }
        assert_eq!(hear(5), Ok(Next::Ack(5)));
        assert_eq!(transfer.again(), Some(5));
    }

    #[test]
    fn a_block_of_another_place_and_a_short_one_are_errors() {
        let content = Content::new();
        let mut moved = block(&content, 2);
        moved[3] = 1;
        let heard = begun(&content, None).hear(&content, &moved);
        assert!(heard.is_err(), "{heard:?}");
        let mut short = block(&content, 1);
        short.pop();
        let heard = begun(&content, None).hear(&content, &short);
        assert!(heard.is_err(), "{heard:?}");
    }

    #[test]
    fn losses_are_the_same_each_time_and_as_many_as_there_are_to_be() {
        let content = Content::new();
        let transfer = begun(&content, Some(7));
        let lost = |transfer: &Transfer| (1..200_000).filter(|&at| transfer.is_lost(at)).count();
        let count = lost(&transfer);
        assert!((50..150).contains(&count), "{count}");
        assert_eq!(count, lost(&begun(&content, Some(7))));
        assert_eq!(0, lost(&begun(&content, None)));
    }
}
