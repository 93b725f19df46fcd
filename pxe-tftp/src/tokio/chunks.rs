//! Pieces of files that several transfers want, over all threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use pxe_tree::Blob;

use super::control::lock;

/// The address of a blob: its identity as long as somebody holds it, be it weakly.
type BlobAddress = usize;

fn address(blob: &Arc<dyn Blob>) -> BlobAddress {
    Arc::as_ptr(blob).cast::<()>() as usize
}

/// Where a chunk begins in which file, and the size of the blocks in whose packets it lies.
type Key = (BlobAddress, u64, Option<u16>);

/// The chunks that were read a short while ago, and those that are being read.
///
/// In a class that boots at once the machines are within a few chunks of each other, so that each
/// chunk is read once. `W` is told when somebody else has read what it asked for.
#[derive(Debug)]
pub(super) struct Chunks<W> {
    table: Mutex<Table<W>>,
}

#[derive(Debug)]
struct Table<W> {
    entries: BTreeMap<Key, Entry<W>>,
    /// Chunks that are there, the oldest first.
    order: BTreeMap<u64, Key>,
    /// How many there ever were, and readers of them.
    count: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<W> {
    /// Keeps the address from being given to another blob.
    _blob: Weak<dyn Blob>,
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    /// The reader with this number reads it; these wait for that.
    Reading { reader: u64, waiters: Vec<W> },
    Here {
        bytes: Bytes,
        /// Its place in the order.
        number: u64,
    },
}

/// What is known of a chunk.
#[derive(Debug)]
pub(super) enum Found<W: Waiter> {
    Here(Bytes),
    /// Somebody else reads it, and will tell.
    Awaited,
    /// It is to be read by whoever asked.
    Missing(Reading<W>),
}

/// Who waits for a chunk.
pub(super) trait Waiter {
    /// It was read, or could not be: look again.
    fn tell(self);
}

/// The duty to read a chunk. Others wait for that; they are told even if it comes to nothing.
#[derive(Debug)]
pub(super) struct Reading<W: Waiter> {
    chunks: Arc<Chunks<W>>,
    key: Key,
    /// The place may be another reader's meanwhile: chunks come and go while waiters are told.
    reader: u64,
}

impl<W: Waiter> Chunks<W> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            table: Mutex::new(Table {
                entries: BTreeMap::new(),
                order: BTreeMap::new(),
                count: 0,
                bytes: 0,
                bytes_max,
            }),
        }
    }

    pub(super) fn set_bytes_max(&self, bytes_max: usize) {
        let mut table = lock(&self.table);
        table.bytes_max = bytes_max;
        table.make_room(0);
    }

    /// Looks for the chunk that begins at `start` and has more than `ahead` octets, packets' headers
    /// included.
    pub(super) fn look(
        self: &Arc<Self>,
        blob: &Arc<dyn Blob>,
        start: u64,
        blksize: Option<u16>,
        ahead: usize,
        waiter: impl FnOnce() -> W,
    ) -> Found<W> {
        let key = (address(blob), start, blksize);
        let mut table = lock(&self.table);
        match table.entries.get_mut(&key).map(|entry| &mut entry.state) {
            Some(State::Here { bytes, .. }) if bytes.len() > ahead => {
                return Found::Here(bytes.clone());
            }
            // Chunks were smaller before the configuration changed.
            Some(State::Here { .. }) => table.remove(key),
            Some(State::Reading { waiters, .. }) => {
                waiters.push(waiter());
                return Found::Awaited;
            }
            None => {}
        }
        table.count += 1;
        let reader = table.count;
        let waiters = Vec::new();
        let entry = Entry {
            _blob: Arc::downgrade(blob),
            state: State::Reading { reader, waiters },
        };
        table.entries.insert(key, entry);
        Found::Missing(Reading {
            chunks: Arc::clone(self),
            key,
            reader,
        })
    }

    /// Drops what is there of a file that is being closed.
    pub(super) fn forget(&self, blob: &Arc<dyn Blob>) {
        let mut table = lock(&self.table);
        let all = (address(blob), 0, None)..=(address(blob), u64::MAX, Some(u16::MAX));
        let here = |state: &State<W>| matches!(state, State::Here { .. });
        let keys: Vec<_> = (table.entries.range(all))
            .filter_map(|(key, entry)| here(&entry.state).then_some(*key))
            .collect();
        keys.into_iter().for_each(|key| table.remove(key));
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        lock(&self.table).bytes
    }
}

impl<W: Waiter> Reading<W> {
    /// It is read.
    pub(super) fn finish(self, bytes: &Bytes) {
        let mut table = lock(&self.chunks.table);
        if bytes.is_empty() || bytes.len() > table.bytes_max {
            // Whoever waits reads for itself.
            return;
        }
        table.make_room(bytes.len());
        table.count += 1;
        let number = table.count;
        let mine = |entry: &&mut Entry<W>| entry.is_read_by(self.reader);
        let Some(entry) = table.entries.get_mut(&self.key).filter(mine) else {
            return;
        };
        let here = State::Here {
            bytes: bytes.clone(),
            number,
        };
        let before = std::mem::replace(&mut entry.state, here);
        table.bytes += bytes.len();
        table.order.insert(number, self.key);
        drop(table);
        tell(before);
    }
}

impl<W: Waiter> Drop for Reading<W> {
    fn drop(&mut self) {
        let mut table = lock(&self.chunks.table);
        let mine = |entry: &Entry<W>| entry.is_read_by(self.reader);
        if table.entries.get(&self.key).is_some_and(mine)
            && let Some(entry) = table.entries.remove(&self.key)
        {
            drop(table);
            tell(entry.state);
        }
    }
}

fn tell<W: Waiter>(state: State<W>) {
    if let State::Reading { waiters, .. } = state {
        waiters.into_iter().for_each(W::tell);
    }
}

impl<W> Entry<W> {
    fn is_read_by(&self, number: u64) -> bool {
        matches!(self.state, State::Reading { reader, .. } if reader == number)
    }
}

impl<W> Table<W> {
    fn remove(&mut self, key: Key) {
        if let Some(Entry {
            state: State::Here { bytes, number },
            ..
        }) = self.entries.remove(&key)
        {
            self.bytes -= bytes.len();
            self.order.remove(&number);
        }
    }

    /// Drops the oldest until there is room for so many more.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max
            && let Some((_, &oldest)) = self.order.first_key_value()
        {
            self.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use pxe_tree::MemBlob;

    use super::*;

    /// Says its number when it is told.
    #[derive(Debug)]
    struct Number(u32, mpsc::Sender<u32>);

    impl Waiter for Number {
        fn tell(self) {
            self.1.send(self.0).expect("the test goes on");
        }
    }

    fn missing(found: Found<Number>) -> Reading<Number> {
        match found {
            Found::Missing(reading) => reading,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chunk_is_read_once_and_those_who_wait_are_told() {
        let (sender, told) = mpsc::channel();
        let waiter = |number| Number(number, sender.clone());
        let blob: Arc<dyn Blob> = MemBlob::new("content");
        let chunks = Arc::new(Chunks::new(1 << 20));
        let look = |number| chunks.look(&blob, 64, None, 6, || waiter(number));
        let reading = missing(look(1));
        assert!(matches!(look(2), Found::Awaited));
        assert!(matches!(look(3), Found::Awaited));
        assert!(told.try_recv().is_err());
        let bytes = Bytes::from(vec![0; 64]);
        reading.finish(&bytes);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [2, 3]);
        assert!(matches!(look(4), Found::Here(here) if here.as_ptr() == bytes.as_ptr()));

        // Its reader is gone, or it could not be read: others try.
        let look = |number| chunks.look(&blob, 128, None, 0, || waiter(number));
        let reading = missing(look(5));
        assert!(matches!(look(6), Found::Awaited));
        drop(reading);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [6]);
        drop(missing(look(6)));
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_goes_with_its_file() {
        let (sender, _told) = mpsc::channel();
        let waiter = || Number(0, sender.clone());
        let one: Arc<dyn Blob> = MemBlob::new("one");
        let two: Arc<dyn Blob> = MemBlob::new("two");
        let chunks = Arc::new(Chunks::new(1000));
        for number in 0..50 {
            for blob in [&one, &two] {
                let reading = missing(chunks.look(blob, number * 90, None, 0, waiter));
                reading.finish(&Bytes::from(vec![0; 90]));
                assert!(chunks.bytes() <= 1000);
            }
        }
        assert!(chunks.bytes() >= 900);
        assert!(matches!(
            chunks.look(&one, 49 * 90, None, 0, waiter),
            Found::Here(_)
        ));
        // A chunk that begins there, but is too short: chunks have become larger.
        drop(missing(chunks.look(&one, 49 * 90, None, 90, waiter)));
        chunks.forget(&one);
        assert!(matches!(
            chunks.look(&two, 49 * 90, None, 0, waiter),
            Found::Here(_)
        ));
        chunks.forget(&two);
        assert_eq!(chunks.bytes(), 0);
        // More than there is room for is not kept.
        missing(chunks.look(&one, 0, None, 0, waiter)).finish(&Bytes::from(vec![0; 1001]));
        assert_eq!(chunks.bytes(), 0);
        chunks.set_bytes_max(0);
        missing(chunks.look(&one, 0, None, 0, waiter)).finish(&Bytes::from(vec![0; 1]));
        assert_eq!(chunks.bytes(), 0);
    }

    /// Does something when it is told.
    struct Hook(Box<dyn FnOnce() + Send>);

    impl Waiter for Hook {
        fn tell(self) {
            (self.0)();
        }
    }

    #[test]
    fn a_chunk_that_goes_while_its_waiters_are_told_is_read_anew_by_one() {
        let blob: Arc<dyn Blob> = MemBlob::new("content");
        let chunks = Arc::new(Chunks::<Hook>::new(1000));
        let look = |chunks: &Arc<Chunks<Hook>>, blob: &Arc<dyn Blob>| {
            chunks.look(blob, 0, None, 0, || Hook(Box::new(|| {})))
        };
        let bytes = Bytes::from(vec![0; 90]);
        let Found::Missing(first) = look(&chunks, &blob) else {
            panic!("nobody reads it");
        };
        // While the first reader tells this one, the chunk is dropped, and somebody reads it anew.
        let (sender, second) = mpsc::channel();
        let (all, file) = (Arc::clone(&chunks), Arc::clone(&blob));
        let hook = Hook(Box::new(move || {
            all.forget(&file);
            let Found::Missing(reading) = look(&all, &file) else {
                panic!("it was dropped");
            };
            sender.send(reading).expect("the test goes on");
        }));
        let awaited = chunks.look(&blob, 0, None, 0, || hook);
        assert!(matches!(awaited, Found::Awaited));
        first.finish(&bytes);
        let second = second.recv().expect("the hook was told");
        // The first reader has left the second one's place alone.
        assert!(matches!(look(&chunks, &blob), Found::Awaited));
        second.finish(&bytes);
        assert_eq!(chunks.bytes(), 90);
        chunks.set_bytes_max(0);
        assert_eq!(chunks.bytes(), 0);
    }
}
