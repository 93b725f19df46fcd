//! Heads that were read lately, and their responses: machines of one kind send equal heads, byte by
//! byte.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::Method;
use http::header::{COOKIE, RANGE};
use pxe_tree::{Attributes, Timestamp, TreePath};

use super::answer::requested_head;
use super::head::{Head, Refusal};
use super::response::Response;
use crate::{MediaTypes, Outcome, Rejection, RequestHead, RequestedHead, Route, plan};

/// Heads that each thread remembers. They are forgotten all at once when there are more.
const HEADS_MAX: usize = 256;
/// Bytes of a head that is remembered: loaders send some hundred. What is made of it takes no more
/// than a few times of that.
const HEAD_BYTES_MAX: usize = 1024;

thread_local! {
    static HEADS: RefCell<HashMap<Box<[u8]>, Arc<KnownHead>>> = RefCell::default();
}

/// A head, and what follows from it alone.
#[derive(Debug)]
pub(super) struct KnownHead {
    head: Head,
    route: Result<KnownRoute, Rejection>,
    /// Whether it is worth remembering: not if it asks for a part of a file, which nobody needs
    /// twice, or names its machine.
    comes_again: bool,
    /// Made for those who listen.
    requested: OnceLock<Arc<RequestedHead>>,
    /// The last response that was a file.
    response: Mutex<Option<KnownResponse>>,
}

/// A [`Route`] apart from its head.
#[derive(Debug)]
struct KnownRoute {
    path: TreePath,
    /// Where the query begins in the target, which it is the end of.
    query_at: Option<usize>,
    is_of_directory: bool,
}

/// A response, and what it was planned from besides the head.
#[derive(Debug)]
struct KnownResponse {
    attributes: Attributes,
    media_types: Arc<MediaTypes>,
    seconds: i64,
    response: Arc<Response>,
}

impl KnownHead {
    /// As [`Head::parse`], but for what was read a moment ago.
    pub(super) fn read(
        bytes: &[u8],
        len_max: usize,
    ) -> Result<Option<(Arc<Self>, usize)>, Refusal> {
        if let Some(known) = HEADS.with_borrow(|heads| heads.get(bytes).cloned())
            && bytes.len() <= len_max
        {
            return Ok(Some((known, bytes.len())));
        }
        let Some((head, len)) = Head::parse(bytes, len_max)? else {
            return Ok(None);
        };
        let head = Arc::new(Self::new(head));
        if len == bytes.len() && len <= HEAD_BYTES_MAX && head.comes_again {
            HEADS.with_borrow_mut(|heads| {
                if heads.len() >= HEADS_MAX {
                    heads.clear();
                }
                heads.insert(bytes.into(), Arc::clone(&head));
            });
        }
        Ok(Some((head, len)))
    }

    fn new(head: Head) -> Self {
        let route = head.request().route().map(|route| {
            let query_len = route.query.map(str::len);
            KnownRoute {
                path: route.path,
                query_at: query_len.and_then(|len| head.target.len().checked_sub(len)),
                is_of_directory: route.is_of_directory,
            }
        });
        let fields = &head.headers;
        let comes_again = !fields.contains_key(RANGE) && !fields.contains_key(COOKIE);
        Self {
            head,
            route,
            comes_again,
            requested: OnceLock::new(),
            response: Mutex::default(),
        }
    }

    pub(super) fn request(&self) -> RequestHead<'_> {
        self.head.request()
    }

    pub(super) const fn method(&self) -> &Method {
        &self.head.method
    }

    /// As [`RequestHead::route`].
    pub(super) fn route(&self) -> Result<Route<'_>, Rejection> {
        let route = self.route.as_ref().map_err(|rejection| *rejection)?;
        Ok(Route {
            path: route.path.clone(),
            query: route.query_at.and_then(|at| self.head.target.get(at..)),
            is_of_directory: route.is_of_directory,
        })
    }

    /// What is told of it.
    pub(super) fn requested(&self) -> Arc<RequestedHead> {
        let path = || self.route.as_ref().ok().map(|route| route.path.clone());
        let requested = self
            .requested
            .get_or_init(|| Arc::new(requested_head(&self.request(), path())));
        Arc::clone(requested)
    }

    /// The response that is a file with these attributes, found at this path.
    ///
    /// It is what [`plan()`] says, which says the same if it is told the same. Of the time it reads no
    /// more than the second, but where it answers with several ranges.
    pub(super) fn file_response(
        &self,
        path: &TreePath,
        attributes: &Attributes,
        media_types: &Arc<MediaTypes>,
        now: Timestamp,
    ) -> Arc<Response> {
        let make = || {
            let outcome = Outcome::File {
                attributes,
                media_type: media_types.of(path),
            };
            let plan = plan(&self.request(), outcome, now);
            Arc::new(Response::new(self.head.version, plan))
        };
        let is_own_path = matches!(&self.route, Ok(route) if route.path == *path);
        if !self.comes_again || !is_own_path {
            return make();
        }
        let mut last = self.response.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*last
            && known.seconds == now.seconds
            && known.attributes == *attributes
            && Arc::ptr_eq(&known.media_types, media_types)
        {
            return Arc::clone(&known.response);
        }
        let response = make();
        *last = Some(KnownResponse {
            attributes: attributes.clone(),
            media_types: Arc::clone(media_types),
            seconds: now.seconds,
            response: Arc::clone(&response),
        });
        response
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use pxe_tree::{NodeId, NodeKind};

    use super::*;

    const LEN_MAX: usize = 16 * 1024;

    fn read(head: &str) -> Arc<KnownHead> {
        let read = KnownHead::read(head.as_bytes(), LEN_MAX);
        let (read, len) = read.expect("valid").expect("complete");
        assert_eq!(len, head.len());
        read
    }

    fn is_remembered(head: &str) -> bool {
        Arc::ptr_eq(&read(head), &read(head))
    }

    #[test]
    fn equal_heads_are_read_once() {
        assert!(is_remembered("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
        let other = read("GET /a HTTP/1.1\r\nHost: y\r\n\r\n");
        assert_eq!(other.request().headers.get("host").expect("there"), "y");
        assert!(!is_remembered(
            "GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\n\r\n"
        ));
        assert!(!is_remembered(
            "GET /a HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n"
        ));
    }

    #[test]
    fn a_remembered_head_is_not_longer_than_others_may_be() {
        let head = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(is_remembered(head));
        let shorter = KnownHead::read(head.as_bytes(), head.len() - 1);
        assert!(matches!(shorter, Err(Refusal::TooLong)));
    }

    #[test]
    fn so_many_heads_are_remembered_and_no_more() {
        for number in 0..3 * HEADS_MAX {
            read(&format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(HEADS.with_borrow(HashMap::len) <= HEADS_MAX);
        }
        let long = "x".repeat(HEAD_BYTES_MAX);
        assert!(!is_remembered(&format!(
            "GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"
        )));
    }

    fn head() -> impl Strategy<Value = String> {
        let method = prop_oneof![4 => Just("GET"), 1 => Just("HEAD"), 1 => Just("POST")];
        let target = prop::sample::select(vec![
            "/a.efi",
            "/a",
            "/d/",
            "/a?b=c",
            "/%2f",
            "http://x/a?",
            "/../a%20b",
        ]);
        let version = prop::sample::select(vec!["1.0", "1.1"]);
        let field = prop::sample::select(vec![
            "Connection: close",
            "Connection: keep-alive",
            "Range: bytes=1-2",
            "Range: bytes=0-0,4-5",
            "If-Range: Sun, 06 Nov 1994 08:49:37 GMT",
            "If-None-Match: \"0-0-1-1\"",
            "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
            "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
            "User-Agent: iPXE/1.21",
            "Accept: text/html",
        ]);
        let fields = prop::collection::vec(field, 0..3);
        (method, target, version, fields).prop_map(|(method, target, version, fields)| {
            let mut head = format!("{method} {target} HTTP/{version}\r\nHost: x\r\n");
            for field in fields {
                head.push_str(field);
                head.push_str("\r\n");
            }
            head.push_str("\r\n");
            head
        })
    }

    /// Few of each, so that many are asked for again.
    fn found() -> impl Strategy<Value = (Attributes, bool)> {
        (0..3_u64, 0..2_u64, 0..2_i64, any::<bool>()).prop_map(
            |(len, change, modified, is_index)| {
                let node = NodeId::new(NonZeroU64::MIN);
                let mut attributes = Attributes::new(node, NodeKind::File, 9 * len);
                attributes.change = change;
                attributes.modified = Timestamp::from_seconds(784_111_777 * modified);
                (attributes, is_index)
            },
        )
    }

    proptest! {
        /// Whatever came before, on this connection or another.
        #[test]
        fn what_is_remembered_is_what_would_be_made_anew(
            heads in prop::collection::vec(head(), 1..4),
            asked in prop::collection::vec(
                (any::<prop::sample::Index>(), found(), 0..3_i64, 0..1000_u32, any::<bool>()),
                1..60,
            ),
        ) {
            let both = [Arc::new(MediaTypes::new()), Arc::new({
                let mut types = MediaTypes::new();
                types.insert("efi", http::HeaderValue::from_static("text/x-other"));
                types
            })];
            for (index, (attributes, is_index), seconds, nanos, is_other) in asked {
                let bytes = index.get(&heads).as_bytes();
                let (known, len) = KnownHead::read(bytes, LEN_MAX).expect("valid").expect("whole");
                let (head, head_len) = Head::parse(bytes, LEN_MAX).expect("valid").expect("whole");
                prop_assert_eq!(len, head_len);
                let route = head.request().route();
                prop_assert_eq!(known.route(), route.clone());
                let path = route.as_ref().ok().map(|route| route.path.clone());
                let requested = requested_head(&head.request(), path.clone());
                prop_assert_eq!(&*known.requested(), &requested);
                let Some(mut path) = path else { continue };
                if is_index {
                    path = TreePath::parse("d/index.html").expect("a path");
                }
                let media_types = &both[usize::from(is_other)];
                let now = Timestamp { seconds: 784_111_777 + seconds, nanos };
                let outcome = Outcome::File {
                    attributes: &attributes,
                    media_type: media_types.of(&path),
                };
                let planned = plan(&head.request(), outcome, now);
                let made = Response::new(head.version, planned);
                let response = known.file_response(&path, &attributes, media_types, now);
                prop_assert_eq!(&*response, &made);
            }
        }
    }
}
