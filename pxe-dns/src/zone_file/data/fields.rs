//! Of what fields the data of each type consists.

use super::form::Form::{self, *};
use super::{Fault, Words};
use crate::{NameRef, RecordType};

/// A part of a record's data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    form: Form,
    /// What it is, in a sentence.
    what: &'static str,
}

impl Field {
    /// Reads it from words, and appends it to the data.
    pub(super) fn parse(
        &self,
        words: &mut Words<'_, '_>,
        origin: NameRef<'_>,
        data: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.form.parse(self.what, words, origin, data)
    }

    /// Takes it from data in wire form and writes it after a blank; none if it is malformed.
    pub(super) fn text(&self, data: &mut &[u8], out: &mut String) -> Option<()> {
        if !out.is_empty() {
            out.push(' ');
        }
        self.form.text(data, out)
    }
}

macro_rules! fields {
    ($($($kind:ident)|+: $($form:ident $what:literal),+;)*) => {
        /// The fields of this type, if it is known.
        pub(super) const fn of(kind: RecordType) -> Option<&'static [Field]> {
            match kind {
                $($(RecordType::$kind)|+ => Some(&[$(Field { form: $form, what: $what }),+]),)*
                _ => None,
            }
        }
    };
}

fields! {
    A: Ipv4 "an IPv4 address";
    AAAA: Ipv6 "an IPv6 address";
    NS: Domain "the name of a server";
    CNAME: Domain "the canonical name";
    DNAME | PTR: Domain "a name";
    SOA: Domain "the name of the primary server", Domain "the mailbox of who is responsible",
        U32 "the serial", Seconds "the refresh time", Seconds "the retry time",
        Seconds "the expire time", Seconds "the minimum TTL";
    HINFO: Text "a CPU", Text "an operating system";
    MX: U16 "a preference", Domain "the name of a mail exchange";
    TXT | SPF: Texts "a text";
    RP: Domain "a mailbox", Domain "the name of a text";
    AFSDB: U16 "a subtype", Domain "the name of a server";
    KX: U16 "a preference", Domain "the name of a key exchanger";
    SRV: U16 "a priority", U16 "a weight", U16 "a port", Domain "the name of a server";
    NAPTR: U16 "an order", U16 "a preference", Text "the flags", Text "the services",
        Text "a regular expression", Domain "a replacement";
    SSHFP: U8 "an algorithm", U8 "a type of fingerprint", Hex "a fingerprint";
    TLSA | SMIMEA: U8 "a usage", U8 "a selector", U8 "a matching type", Hex "a certificate";
    DHCID | OPENPGPKEY: Base64 "octets in base 64";
    SIG | RRSIG: Type "the type that is signed", Algorithm "an algorithm",
        U8 "a number of labels", U32 "the original TTL", Date "when it ends",
        Date "when it begins", U16 "the tag of a key", Domain "the signer's name",
        Base64 "a signature in base 64";
    KEY: U16 "the flags", Protocol "a protocol", Algorithm "an algorithm",
        Key "a key in base 64";
    DNSKEY | CDNSKEY: U16 "the flags", Protocol "a protocol", Algorithm "an algorithm",
        Base64 "a key in base 64";
    DS | CDS: U16 "the tag of a key", Algorithm "an algorithm", Digest "a type of digest",
        Hex "a digest in hexadecimal digits";
    NSEC: Domain "the next name", Types "a type";
    NSEC3: U8 "an algorithm", U8 "the flags", U16 "a number of iterations",
        Salt "a salt in hexadecimal digits, or -", Hash "the next hashed name", AnyTypes "types";
    NSEC3PARAM: U8 "an algorithm", U8 "the flags", U16 "a number of iterations",
        Salt "a salt in hexadecimal digits, or -";
    CSYNC: U32 "the serial", U16 "the flags", AnyTypes "types";
    CERT: Certificate "a type of certificate", U16 "the tag of a key", Algorithm "an algorithm",
        Base64 "a certificate in base 64";
    LOC: Location "a location";
    APL: Prefixes "address prefixes";
    SVCB | HTTPS: U16 "a priority", Domain "a target", Params "parameters";
    URI: U16 "a priority", U16 "a weight", Value "a target";
    CAA: U8 "the flags", Tag "a tag", Value "a value";
}
