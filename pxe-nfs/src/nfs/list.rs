//! The entries of directories: READDIR and READDIRPLUS.

use pxe_tree::{Attributes, Cookie, Error, ErrorKind, ListedEntry, NodeKind};

use super::attributes::{POST_OP_LEN, put_post_op};
use super::lookup::parent;
use super::node::{Answer, Context, Object};
use super::permission::Wanted;
use super::status::Status;
use crate::xdr::{Write as _, padding};

/// `cookieverf3`: always zero, and any is taken, as Linux's server does it. A cookie that means
/// nothing any more shows when the tree is asked.
const VERIFIER: u64 = 0;
/// No entry follows, and whether the directory ends here.
const TAIL_LEN: usize = 8;
/// An entry of an empty name: that it follows, its number, its name's length, its cookie.
const ENTRY_LEN: usize = 4 + 8 + 4 + 8;
/// What an entry takes for the most part, for guessing how many to ask the tree for.
const ENTRY_LEN_USUAL: usize = ENTRY_LEN + 12;
/// What READDIRPLUS adds to it, with a handle of a directory tree's usual key.
const PLUS_LEN_USUAL: usize = POST_OP_LEN + 4 + 4 + 60;

/// What part of a page may stay empty.
const FULL_PART: usize = 16;

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// At `.`, which trees do not list.
    Dot,
    /// At `..`.
    DotDot,
    /// In the tree's own listing.
    Tree(Cookie),
}

/// Cookies of clients after `.` and `..`, and for those of a tree that these take away.
///
/// Trees have all numbers but 0 for cookies: small ones (tmpfs, images), hashes of up to 63 bits
/// (ext4). So the tree's 1 and 2 become two which ext4 never gives (fs/ext4/dir.c, `hash2pos`: its
/// hashes end at 0x7ffffffe_ffffffff), and whose sign bit is clear, as Linux wants it of
/// positions; and if a tree has those nevertheless, they become the highest two, which no tree
/// has ([`Cookie`]s of the kernel are positions in a file).
pub(crate) mod cookies {
    pub(crate) const AFTER_DOT: u64 = 1;
    pub(crate) const AFTER_DOT_DOT: u64 = 2;
    pub(super) const TREE_1: u64 = i64::MAX as u64 - 2;
    pub(super) const TREE_2: u64 = i64::MAX as u64 - 1;
    pub(super) const TREE_MOVED_1: u64 = u64::MAX - 1;
    pub(super) const TREE_MOVED_2: u64 = u64::MAX;
}

impl Position {
    /// The position of a client's cookie.
    pub(crate) const fn of(cookie: u64) -> Self {
        match cookie {
            0 => Self::Dot,
            cookies::AFTER_DOT => Self::DotDot,
            cookies::AFTER_DOT_DOT => Self::Tree(Cookie::START),
            cookies::TREE_1 => Self::Tree(Cookie(1)),
            cookies::TREE_2 => Self::Tree(Cookie(2)),
            cookies::TREE_MOVED_1 => Self::Tree(Cookie(cookies::TREE_1)),
            cookies::TREE_MOVED_2 => Self::Tree(Cookie(cookies::TREE_2)),
            other => Self::Tree(Cookie(other)),
        }
    }

    /// The client's cookie of a tree's; `None` for the highest two, which are no positions.
    pub(crate) const fn cookie(tree: Cookie) -> Option<u64> {
        match tree.0 {
            1 => Some(cookies::TREE_1),
            2 => Some(cookies::TREE_2),
            cookies::TREE_1 => Some(cookies::TREE_MOVED_1),
            cookies::TREE_2 => Some(cookies::TREE_MOVED_2),
            cookies::TREE_MOVED_1 | cookies::TREE_MOVED_2 => None,
            other => Some(other),
        }
    }
}

/// What a client asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    from: Position,
    /// The most bytes of the results after their status.
    bytes_max: usize,
    /// For READDIRPLUS: the most bytes of names, numbers and cookies alone.
    plus: Option<usize>,
}

/// READDIR (RFC 1813 section 3.3.16).
pub(super) async fn readdir(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (cookie, _verifier, count) = (args.u64()?, args.u64()?, args.u32()?);
    let asked = Asked {
        from: Position::of(cookie),
        bytes_max: count.min(context.list_bytes_max()) as usize,
        plus: None,
    };
    list(context, handle, asked).await
}

/// READDIRPLUS (RFC 1813 section 3.3.17).
pub(super) async fn readdirplus(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (cookie, _verifier) = (args.u64()?, args.u64()?);
    let (dir_count, count_max) = (args.u32()?, args.u32()?);
    let asked = Asked {
        from: Position::of(cookie),
        bytes_max: count_max.min(context.list_bytes_max()) as usize,
        plus: Some(dir_count as usize),
    };
    list(context, handle, asked).await
}

async fn list(context: &Context<'_>, handle: &[u8], asked: Asked) -> Answer {
    let mut dir = context.object(handle).await?;
    loop {
        if dir.attributes.kind != NodeKind::Directory {
            return Err(context.failed(Status::NOTDIR, &dir));
        }
        let allowed = dir.check(Wanted::READ);
        allowed.map_err(|status| context.failed(status, &dir))?;
        let page = Page::new(context, &dir, asked);
        let page = page.ok_or_else(|| context.failed(Status::TOOSMALL, &dir))?;
        let status = match page.filled().await {
            Ok(Filled::Reply(reply)) => return Ok(reply.into()),
            Ok(Filled::Nothing(status)) => status,
            Err(error) if error.kind() == ErrorKind::Stale => {
                let again = context.refresh(&mut dir).await;
                again.map_err(|status| context.failed(status, &dir))?;
                continue;
            }
            Err(error) => context.status(&error),
        };
        return Err(context.failed(status, &dir));
    }
}

/// What became of a page.
enum Filled {
    Reply(Vec<u8>),
    Nothing(Status),
}

/// One entry as a client sees it.
struct Entry<'a> {
    name: &'a [u8],
    cookie: u64,
    fileid: u64,
    /// For READDIRPLUS, if the user may look the name up.
    node: Option<&'a Attributes>,
}

/// A reply that grows by entries, never beyond what was asked for.
struct Page<'a> {
    context: &'a Context<'a>,
    dir: &'a Object,
    asked: Asked,
    reply: Vec<u8>,
    /// How long the reply may become.
    len_max: usize,
    /// Of READDIRPLUS: how many bytes of names, numbers and cookies may still come.
    names_left: Option<usize>,
    /// Whether the user may know more than names: he may look them up, and asked for it.
    shows_nodes: bool,
    is_empty: bool,
}

impl<'a> Page<'a> {
    /// An empty page; `None` if not even that fits.
    fn new(context: &'a Context<'a>, dir: &'a Object, asked: Asked) -> Option<Self> {
        let mut reply = context.results(Status::OK, asked.bytes_max);
        let len_max = reply.len() + asked.bytes_max;
        dir.put_post_op(&mut reply);
        reply.put_u64(VERIFIER);
        (reply.len() + TAIL_LEN <= len_max).then_some(Self {
            context,
            dir,
            asked,
            reply,
            len_max,
            names_left: asked.plus,
            shows_nodes: asked.plus.is_some() && dir.allows(Wanted::EXECUTE),
            is_empty: true,
        })
    }

    /// Bytes that still fit.
    fn left(&self) -> usize {
        self.len_max - TAIL_LEN - self.reply.len()
    }

    /// How many entries are worth asking the tree for; `None` if the page is as good as full: a
    /// tree's page costs a turn on a thread that may wait, however few entries it has.
    fn entries_wanted(&self) -> Option<usize> {
        let usual = match self.shows_nodes {
            true => ENTRY_LEN_USUAL + PLUS_LEN_USUAL,
            false => ENTRY_LEN_USUAL,
        };
        let names = self.names_left.unwrap_or(usize::MAX);
        let wanted = |bytes: usize, names: usize| (bytes / usual).min(names / ENTRY_LEN_USUAL);
        let now = wanted(self.left(), names);
        let at_first = wanted(self.asked.bytes_max, self.asked.plus.unwrap_or(usize::MAX));
        match self.is_empty {
            true => Some(now.max(1)),
            false => (now > at_first / FULL_PART).then_some(now),
        }
    }

    /// Adds an entry; false if it does not fit. The first one always fits into what is asked for
    /// in names, so that no client asks for ever (libnfs asks for an eighth of a page).
    fn add(&mut self, entry: &Entry<'_>) -> bool {
        let names = ENTRY_LEN + entry.name.len() + padding(entry.name.len());
        let names_left = match self.names_left {
            Some(left) if names > left && !self.is_empty => return false,
            left => left.map(|left| left.saturating_sub(names)),
        };
        let before = self.reply.len();
        self.put(entry);
        if self.reply.len() + TAIL_LEN > self.len_max {
            self.reply.truncate(before);
            return false;
        }
        self.names_left = names_left;
        self.is_empty = false;
        true
    }

    fn put(&mut self, entry: &Entry<'_>) {
        let reply = &mut self.reply;
        reply.put_bool(true);
        reply.put_u64(entry.fileid);
        reply.put_opaque(entry.name);
        reply.put_u64(entry.cookie);
        if self.names_left.is_none() {
            return;
        }
        let node = entry.node.filter(|_| self.shows_nodes);
        let export = &self.dir.export;
        put_post_op(reply, export.id, node);
        let node = node.map(|node| node.node);
        self.context.put_post_op_handle(reply, export, node);
    }

    /// The page with its entries.
    async fn filled(mut self) -> Result<Filled, Error> {
        let dir = self.dir;
        let mut from = self.asked.from;
        loop {
            let (fits, next) = match from {
                Position::Dot => {
                    let fits = self.add_special(b".", cookies::AFTER_DOT, &dir.attributes);
                    (fits, Position::DotDot)
                }
                Position::DotDot => {
                    // A tree that cannot tell it has one nevertheless.
                    let above = parent(dir).await;
                    let above = above.as_ref().unwrap_or(&dir.attributes);
                    let fits = self.add_special(b"..", cookies::AFTER_DOT_DOT, above);
                    (fits, Position::Tree(Cookie::START))
                }
                Position::Tree(after) => match self.add_after(after).await? {
                    Added::All(None) => return Ok(self.finished(true)),
                    Added::All(Some(last)) => (true, Position::Tree(last)),
                    Added::Some => (false, from),
                    Added::NoPosition => return Ok(Filled::Nothing(Status::SERVERFAULT)),
                },
            };
            if !fits {
                return Ok(self.finished(false));
            }
            from = next;
        }
    }

    fn finished(mut self, ends: bool) -> Filled {
        if self.is_empty && !ends {
            return Filled::Nothing(Status::TOOSMALL);
        }
        self.reply.put_bool(false);
        self.reply.put_bool(ends);
        Filled::Reply(self.reply)
    }

    fn add_special(&mut self, name: &[u8], cookie: u64, node: &Attributes) -> bool {
        self.add(&Entry {
            name,
            cookie,
            fileid: node.fileid,
            node: Some(node),
        })
    }

    /// Adds what the tree lists after a position.
    async fn add_after(&mut self, after: Cookie) -> Result<Added, Error> {
        let Some(wanted) = self.entries_wanted() else {
            return Ok(Added::Some);
        };
        let (tree, dir) = (self.dir.tree(), self.dir.node());
        let (listed, ends) = match self.shows_nodes {
            true => {
                let listed = tree.read_dir_attributes(dir, after, wanted).await?;
                (listed.entries, listed.end)
            }
            false => {
                let listed = tree.read_dir(dir, after, wanted).await?;
                let entries = listed.entries.into_iter();
                let bare = entries.map(|entry| ListedEntry::new(entry, None));
                (bare.collect(), listed.end)
            }
        };
        for ListedEntry {
            entry, attributes, ..
        } in &listed
        {
            let Some(cookie) = Position::cookie(entry.cookie) else {
                return Ok(Added::NoPosition);
            };
            let entry = Entry {
                name: entry.name.as_bytes(),
                cookie,
                fileid: entry.fileid,
                node: attributes.as_ref(),
            };
            if !self.add(&entry) {
                return Ok(Added::Some);
            }
        }
        // Only the last page is empty; a tree that breaks that would be asked for ever.
        let last = listed.last().map(|last| last.entry.cookie);
        Ok(Added::All(last.filter(|_| !ends)))
    }
}

/// How much of what a tree listed was added.
enum Added {
    /// All of it; where it goes on, if it does.
    All(Option<Cookie>),
    /// A part, or nothing: the page is full.
    Some,
    /// An entry has a cookie that cannot be told to a client.
    NoPosition,
}
