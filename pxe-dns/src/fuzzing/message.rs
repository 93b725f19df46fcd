//! A strict reader of responses: what it cannot read, no client has to.

use crate::{Class, Name, NameRef, Rcode, Record, RecordType};

/// A response, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// With the part that the OPT record has.
    pub(crate) rcode: Rcode,
    /// None in an answer to what has none.
    pub(crate) question: Option<(Name, RecordType, Class)>,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// Without the OPT record.
    pub(crate) additionals: Vec<Record>,
    /// The OPT record's size and flags.
    pub(crate) edns: Option<(u16, u16)>,
}

/// Where in a message something is read.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Message {
    /// # Panics
    ///
    /// If the message breaks any rule of RFC 1035 section 4 or RFC 6891 section 6.
    pub(crate) fn read(message: &[u8]) -> Self {
        let mut reader = Reader { message, at: 0 };
        let (id, flags) = (reader.word(), reader.word());
        let [questions, answers, authorities, additionals] = [(); 4].map(|()| reader.word());
        assert!(questions <= 1, "one question at most");
        let question = (questions == 1).then(|| {
            let name = reader.name();
            (name, RecordType(reader.word()), Class(reader.word()))
        });
        let mut section = |count: u16| -> Vec<_> { (0..count).map(|_| reader.record()).collect() };
        let (answers, authorities) = (section(answers), section(authorities));
        let mut additionals = section(additionals);
        assert_eq!(reader.at, message.len(), "nothing follows the last record");
        let is_opt = |(record, _): &(Record, u16)| record.kind == RecordType::OPT;
        assert!(!answers.iter().chain(&authorities).any(is_opt));
        let opts: Vec<_> = additionals
            .extract_if(.., |record| is_opt(record))
            .collect();
        assert!(opts.len() <= 1, "one OPT record at most");
        let mut rcode = flags & 0xf;
        let edns = opts.first().map(|(opt, size)| {
            assert!(opt.owner.as_ref().is_root());
            rcode |= (opt.ttl_seconds >> 24 << 4) as u16;
            assert_eq!(opt.ttl_seconds >> 16 & 0xff, 0, "version 0");
            (*size, opt.ttl_seconds as u16)
        });
        let records = |section: Vec<(Record, u16)>| -> Vec<Record> {
            let of_internet = section.into_iter().map(|(record, class)| {
                assert_eq!(Class(class), Class::IN);
                record
            });
            of_internet.collect()
        };
        Self {
            id,
            flags,
            rcode: Rcode(rcode),
            question,
            answers: records(answers),
            authorities: records(authorities),
            additionals: records(additionals),
            edns,
        }
    }
}

impl Reader<'_> {
    fn word(&mut self) -> u16 {
        let pair = self.message.get(self.at..self.at + 2);
        self.at += 2;
        u16::from_be_bytes(pair.expect("two octets").try_into().expect("two octets"))
    }

    fn name(&mut self) -> Name {
        let mut wire = Vec::new();
        let mut at = self.at;
        let mut end = None;
        loop {
            let len = *self.message.get(at).expect("a label");
            if len & 0xc0 == 0xc0 {
                let low = *self.message.get(at + 1).expect("a pointer");
                let to = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                assert!(to < at && to >= 12, "a pointer leads backwards");
                end.get_or_insert(at + 2);
                at = to;
                continue;
            }
            let label = self.message.get(at..=at + usize::from(len));
            wire.extend_from_slice(label.expect("a whole label"));
            at += 1 + usize::from(len);
            if len == 0 {
                break;
            }
        }
        self.at = end.unwrap_or(at);
        NameRef::from_wire(&wire).expect("a name").to_name()
    }

    /// A record, and its class.
    fn record(&mut self) -> (Record, u16) {
        let owner = self.name();
        let (kind, class) = (RecordType(self.word()), self.word());
        let ttl_seconds = u32::from(self.word()) << 16 | u32::from(self.word());
        let end = usize::from(self.word()) + self.at;
        let (head, names) = match kind {
            RecordType::NS | RecordType::CNAME | RecordType::PTR => (0, 1),
            RecordType::MX => (2, 1),
            RecordType::SOA => (0, 2),
            _ => (0, 0),
        };
        let mut data = self.octets(head);
        for _ in 0..names {
            data.extend_from_slice(self.name().as_ref().wire());
        }
        assert!(self.at <= end, "names end where the data end");
        data.extend(self.octets(end - self.at));
        (Record::new(owner, kind, ttl_seconds, data), class)
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        let octets = self.message.get(self.at..self.at + len);
        self.at += len;
        octets.expect("as many octets as the length says").to_vec()
    }
}
