//! Cases of public test suites of HTTP servers, written anew as data: what is asked, and what has
//! to come. `tests/plan_suite.rs` runs them on `plan()`, the conformance suite on every driver,
//! all over one connection.
//!
//! From nginx-tests (2026-07-21) and from Go's `net/http/fs_test.go`. Of their cases,
//!
//! | file | what applies | what does not, and why |
//! |---|---|---|
//! | `range.t` | all of `t1.html`; malformed ranges are ignored here, where nginx says 416, and greedy ones are joined, where nginx sends all (RFC 9110 sections 14.2 and 17.15 allow each) | recoding; `max_ranges` as a setting: it is 256 (`greedy_requests_get_at_most_the_content`) |
//! | `range_if_range.t` | all | |
//! | `range_charset.t` | the type of each part | recoding |
//! | `not_modified.t` | all | |
//! | `http_method.t` | TRACE, CONNECT | CONNECT with a bad target: the method alone decides, 405 |
//! | `http_uri.t`, `merge_slashes.t` | dots, absolute form, port, space, control characters, slashes | a stray percent sign stands for itself; a fragment is no part of a target (RFC 9112 section 3.2): 400 |
//! | `http_host.t` | a second `Host` | the value of `Host` is not judged: see `Rejection::BadHost` |
//! | `http_headers_multi.t` | fields that come twice: ignored here, 400 there | variables |
//! | `http_keepalive.t` | several requests over a connection (all cases of this file, one after the other); a request with a body that nobody reads: `a_post_with_a_body_is_refused_and_its_body_is_no_request`; time: `limits.rs` | `keepalive_requests`, `keepalive_disable` |
//! | `http_absolute_redirect.t` | directories, escapes, queries: `a_directory_without_its_final_slash_is_redirected` | host names of its own |
//! | `autoindex.t`, `autoindex_format.t` | names, links, escapes, colons, title, JSON: `listing_page.rs`, `plan_listing.rs` | shortened names, XML, JSONP |
//! | `index.t` | `directories.rs` | variables, redirects; a file's path with a slash behind it is the file here |
//! | `fs_test.go` | ranges, conditions, empty content, NUL, dots | redirects of `index.html` |

use std::ops::Range;

/// 1994-11-06T08:49:37Z: when each file was modified.
pub(crate) const MODIFIED: i64 = 784_111_777;

/// A file of the suite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) len: u64,
    /// 0 makes its entity tag weak.
    pub(crate) change: u64,
}

pub(crate) const FILES: [File; 4] = [
    File {
        path: "/t1",
        len: 1000,
        change: 7,
    },
    File {
        path: "/file",
        len: 11,
        change: 7,
    },
    File {
        path: "/weak",
        len: 11,
        change: 0,
    },
    File {
        path: "/empty",
        len: 0,
        change: 7,
    },
];

impl File {
    /// The file that a target names, as far as the suite names files.
    pub(crate) fn at(path: &str) -> Option<Self> {
        FILES.into_iter().find(|file| file.path == path)
    }

    pub(crate) fn content(self) -> Vec<u8> {
        // A prime, so that no ten bytes look like ten others.
        (0..self.len).map(|at| (at % 251) as u8).collect()
    }
}

/// What has to come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// 200 and the whole file.
    Whole,
    /// 206 and this part of the file.
    Part(FirstLast),
    /// 206 and these parts.
    Parts(&'static [FirstLast]),
    /// This status, and no byte of a file.
    Status(u16),
}

/// First and last byte, as `Content-Range` has them.
pub(crate) type FirstLast = (u64, u64);

pub(crate) fn range((first, last): FirstLast) -> Range<u64> {
    first..last + 1
}

/// One request and its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Where it comes from.
    pub(crate) source: &'static str,
    /// Method, target and version, then a field a line. `{tag}` stands for the file's
    /// entity tag; `{date}`, `{rfc850}`, `{asctime}`, `{before}` and `{after}` for the date of its
    /// modification in each form, and for others. An HTTP/1.1
    /// request gets a `Host`.
    pub(crate) request: &'static str,
    pub(crate) wanted: Wanted,
}

const fn case(source: &'static str, request: &'static str, wanted: Wanted) -> Case {
    Case {
        source,
        request,
        wanted,
    }
}

impl Case {
    /// The lines of the request, all placeholders replaced.
    pub(crate) fn lines(&self, tag: &str) -> Vec<String> {
        let text = self
            .request
            .replace("{tag}", tag)
            .replace("{date}", "Sun, 06 Nov 1994 08:49:37 GMT")
            .replace("{rfc850}", "Sunday, 06-Nov-94 08:49:37 GMT")
            .replace("{asctime}", "Sun Nov  6 08:49:37 1994")
            .replace("{before}", "Sun, 06 Nov 1994 08:49:35 GMT")
            .replace("{after}", "Sun, 06 Nov 1994 08:49:38 GMT");
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        if lines[0].ends_with("HTTP/1.1") {
            lines.push("Host: localhost".to_owned());
        }
        lines
    }

    /// Method, target, and whether the version is 1.1.
    pub(crate) fn request_line(&self) -> (&'static str, &'static str, bool) {
        let line = self.request.split('\n').next().unwrap_or_default();
        let mut words = line.split(' ');
        let method = words.next().expect("a method");
        let target = words.next().expect("a target");
        (method, target, line.ends_with("HTTP/1.1"))
    }

    /// The file that it is about.
    pub(crate) fn file(&self) -> Option<File> {
        let (_, target, _) = self.request_line();
        let path = target.strip_prefix("http://localhost").unwrap_or(target);
        let path = path.strip_prefix(":8080").unwrap_or(path);
        let path = path.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/dir/..").unwrap_or(path);
        File::at(&path.replace("//", "/"))
    }
}

use Wanted::{Part, Parts, Status, Whole};

pub(crate) const CASES: &[Case] = &[
    // nginx-tests, range.t.
    case(
        "range.t: range request",
        "GET /t1 HTTP/1.1\nRange: bytes=0-8",
        Part((0, 8)),
    ),
    case(
        "range.t: final bytes",
        "GET /t1 HTTP/1.1\nRange: bytes=-10",
        Part((990, 999)),
    ),
    case(
        "range.t: final bytes explicit",
        "GET /t1 HTTP/1.1\nRange: bytes=990-",
        Part((990, 999)),
    ),
    case(
        "range.t: more than length",
        "GET /t1 HTTP/1.1\nRange: bytes=990-1990",
        Part((990, 999)),
    ),
    case(
        "range.t: multipart",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9, -10, 10-19",
        Parts(&[(0, 19), (990, 999)]),
    ),
    case(
        "range.t: multipart, none touching",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9, -10, 20-29",
        Parts(&[(0, 9), (990, 999), (20, 29)]),
    ),
    case(
        "range.t: multipart big",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9, -10, 100000-, 10-19",
        Parts(&[(0, 19), (990, 999)]),
    ),
    case(
        "range.t: too big first byte pos",
        "GET /t1 HTTP/1.1\nRange: bytes=100000-",
        Status(416),
    ),
    case(
        "range.t: alpha in first byte pos",
        "GET /t1 HTTP/1.1\nRange: bytes=alpha",
        Whole,
    ),
    case(
        "range.t: alpha in last byte pos",
        "GET /t1 HTTP/1.1\nRange: bytes=10-alpha",
        Whole,
    ),
    case(
        "range.t: no hyphen",
        "GET /t1 HTTP/1.1\nRange: bytes=10",
        Whole,
    ),
    case(
        "range.t: no comma",
        "GET /t1 HTTP/1.1\nRange: bytes=10-11 12-",
        Whole,
    ),
    case(
        "range.t: last byte pos adjusted",
        "GET /t1 HTTP/1.1\nRange: bytes=0-10001",
        Part((0, 999)),
    ),
    case(
        "range.t: malicious byte ranges",
        "GET /t1 HTTP/1.1\nRange: bytes=0-10001, 0-0",
        Part((0, 999)),
    ),
    case(
        "range.t: HTTP/1.0",
        "GET /t1 HTTP/1.0\nConnection: keep-alive\nRange: bytes=0-9",
        Part((0, 9)),
    ),
    // nginx-tests, range_if_range.t.
    case(
        "range_if_range.t: wrong",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9\nIf-Range: wrong",
        Whole,
    ),
    case(
        "range_if_range.t: date",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9\nIf-Range: {date}",
        Part((0, 9)),
    ),
    case(
        "range_if_range.t: other date",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9\nIf-Range: {after}",
        Whole,
    ),
    // nginx-tests, not_modified.t.
    case(
        "not_modified.t: 0x7F000000",
        "GET /t1 HTTP/1.0\nConnection: keep-alive\nIf-Modified-Since: Wed, 08 Jul 2037 22:53:52 GMT",
        Status(304),
    ),
    case(
        "not_modified.t: 0x7FFFFFFF",
        "GET /t1 HTTP/1.1\nIf-Modified-Since: Tue, 19 Jan 2038 03:14:07 GMT",
        Status(304),
    ),
    case(
        "not_modified.t: 0x7FFFFFFF + 1",
        "GET /t1 HTTP/1.1\nIf-Modified-Since: Tue, 19 Jan 2038 03:14:08 GMT",
        Status(304),
    ),
    case(
        "not_modified.t: 0x17FFFFFFF",
        "GET /t1 HTTP/1.1\nIf-Modified-Since: Fri, 25 Feb 2174 09:42:23 GMT",
        Status(304),
    ),
    case(
        "not_modified.t: if-none-match",
        "GET /t1 HTTP/1.1\nIf-None-Match: {tag}",
        Status(304),
    ),
    case(
        "not_modified.t: if-none-match fail",
        "GET /t1 HTTP/1.1\nIf-None-Match: \"foo\"",
        Whole,
    ),
    case(
        "not_modified.t: if-none-match with complex list",
        "GET /t1 HTTP/1.1\nIf-None-Match: \"foo\", \"bar\", {tag} , \"baz\"",
        Status(304),
    ),
    case(
        "not_modified.t: if-none-match all",
        "GET /t1 HTTP/1.1\nIf-None-Match: *",
        Status(304),
    ),
    case(
        "not_modified.t: if-none-match weak",
        "GET /t1 HTTP/1.1\nIf-None-Match: W/{tag}",
        Status(304),
    ),
    case(
        "not_modified.t: if-match",
        "GET /t1 HTTP/1.1\nIf-Match: {tag}",
        Whole,
    ),
    case(
        "not_modified.t: if-match fail",
        "GET /t1 HTTP/1.1\nIf-Match: \"foo\"",
        Status(412),
    ),
    case(
        "not_modified.t: if-match with complex list",
        "GET /t1 HTTP/1.1\nIf-Match: \"foo\", \"bar\", \t{tag} , \"baz\"",
        Whole,
    ),
    case(
        "not_modified.t: if-match all",
        "GET /t1 HTTP/1.1\nIf-Match: *",
        Whole,
    ),
    case(
        "not_modified.t: if-match weak fail",
        "GET /t1 HTTP/1.1\nIf-Match: W/{tag}",
        Status(412),
    ),
    case(
        "not_modified.t: if-match ignored with 404",
        "GET /nx HTTP/1.1\nIf-Match: \"foo\"",
        Status(404),
    ),
    // nginx-tests, http_uri.t, merge_slashes.t, http_host.t, http_headers_multi.t, http_method.t.
    case("http_uri.t: dot dot", "GET /dir/../t1 HTTP/1.1", Whole),
    case(
        "http_uri.t: absolute",
        "GET http://localhost/t1 HTTP/1.1",
        Whole,
    ),
    case(
        "http_uri.t: port args",
        "GET http://localhost:8080/t1?args HTTP/1.1",
        Whole,
    ),
    case(
        "http_uri.t: control escaped",
        "GET /%02 HTTP/1.1",
        Status(404),
    ),
    case("http_uri.t: percent", "GET /t1% HTTP/1.1", Status(404)),
    case("merge_slashes.t", "GET /dir/..//t1 HTTP/1.1", Whole),
    case(
        "http_host.t: host repeat",
        "GET /t1 HTTP/1.1\nHost: again",
        Status(400),
    ),
    case(
        "http_headers_multi.t: If-Modified-Since",
        "GET /t1 HTTP/1.1\nIf-Modified-Since: {date}\nIf-Modified-Since: {date}",
        Whole,
    ),
    case(
        "http_headers_multi.t: If-Range",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9\nIf-Range: {tag}\nIf-Range: {tag}",
        Whole,
    ),
    case(
        "http_headers_multi.t: Range",
        "GET /t1 HTTP/1.1\nRange: bytes=0-9\nRange: bytes=0-9",
        Whole,
    ),
    case("http_method.t: trace", "TRACE /t1 HTTP/1.1", Status(405)),
    // Go, fs_test.go: ServeFileRangeTests.
    case("fs_test.go: no range", "GET /file HTTP/1.1", Whole),
    case(
        "fs_test.go: 0-4",
        "GET /file HTTP/1.1\nRange: bytes=0-4",
        Part((0, 4)),
    ),
    case(
        "fs_test.go: 2-",
        "GET /file HTTP/1.1\nRange: bytes=2-",
        Part((2, 10)),
    ),
    case(
        "fs_test.go: -5",
        "GET /file HTTP/1.1\nRange: bytes=-5",
        Part((6, 10)),
    ),
    case(
        "fs_test.go: 3-7",
        "GET /file HTTP/1.1\nRange: bytes=3-7",
        Part((3, 7)),
    ),
    case(
        "fs_test.go: 0-0,-2",
        "GET /file HTTP/1.1\nRange: bytes=0-0,-2",
        Parts(&[(0, 0), (9, 10)]),
    ),
    case(
        "fs_test.go: 0-1,5-8",
        "GET /file HTTP/1.1\nRange: bytes=0-1,5-8",
        Parts(&[(0, 1), (5, 8)]),
    ),
    case(
        "fs_test.go: 0-1,5-",
        "GET /file HTTP/1.1\nRange: bytes=0-1,5-",
        Parts(&[(0, 1), (5, 10)]),
    ),
    case(
        "fs_test.go: 5-1000",
        "GET /file HTTP/1.1\nRange: bytes=5-1000",
        Part((5, 10)),
    ),
    case(
        "fs_test.go: wasteful",
        "GET /file HTTP/1.1\nRange: bytes=0-,1-,2-,3-,4-",
        Part((0, 10)),
    ),
    case(
        "fs_test.go: 0-9",
        "GET /file HTTP/1.1\nRange: bytes=0-9",
        Part((0, 9)),
    ),
    case(
        "fs_test.go: 0-10",
        "GET /file HTTP/1.1\nRange: bytes=0-10",
        Part((0, 10)),
    ),
    case(
        "fs_test.go: 0-11",
        "GET /file HTTP/1.1\nRange: bytes=0-11",
        Part((0, 10)),
    ),
    case(
        "fs_test.go: 10-11",
        "GET /file HTTP/1.1\nRange: bytes=10-11",
        Part((10, 10)),
    ),
    case(
        "fs_test.go: 10-",
        "GET /file HTTP/1.1\nRange: bytes=10-",
        Part((10, 10)),
    ),
    case(
        "fs_test.go: 11-",
        "GET /file HTTP/1.1\nRange: bytes=11-",
        Status(416),
    ),
    case(
        "fs_test.go: 11-12",
        "GET /file HTTP/1.1\nRange: bytes=11-12",
        Status(416),
    ),
    case(
        "fs_test.go: 12-12",
        "GET /file HTTP/1.1\nRange: bytes=12-12",
        Status(416),
    ),
    case(
        "fs_test.go: 11-100",
        "GET /file HTTP/1.1\nRange: bytes=11-100",
        Status(416),
    ),
    case(
        "fs_test.go: 100-1000",
        "GET /file HTTP/1.1\nRange: bytes=100-1000",
        Status(416),
    ),
    case(
        "fs_test.go: empty content",
        "GET /empty HTTP/1.1\nRange: bytes=0-128",
        Whole,
    ),
    case(
        "fs_test.go: empty content, open",
        "GET /empty HTTP/1.1\nRange: bytes=1-",
        Whole,
    ),
    // Go, fs_test.go: TestServeContent, with GET and HEAD.
    case(
        "fs_test.go: HEAD",
        "HEAD /file HTTP/1.1\nRange: bytes=0-4",
        Whole,
    ),
    case(
        "fs_test.go: not_modified_modtime",
        "HEAD /file HTTP/1.1\nIf-Modified-Since: {date}",
        Status(304),
    ),
    case(
        "fs_test.go: the same in RFC 850",
        "GET /file HTTP/1.1\nIf-Modified-Since: {rfc850}",
        Status(304),
    ),
    case(
        "fs_test.go: the same as asctime",
        "GET /file HTTP/1.1\nIf-Modified-Since: {asctime}",
        Status(304),
    ),
    case(
        "fs_test.go: modified",
        "GET /file HTTP/1.1\nIf-Modified-Since: {before}",
        Whole,
    ),
    case(
        "fs_test.go: if_none_match weak",
        "GET /weak HTTP/1.1\nIf-None-Match: \"baz\", {tag}",
        Status(304),
    ),
    case(
        "fs_test.go: if_none_match_malformed",
        "GET /file HTTP/1.1\nIf-None-Match: ,",
        Whole,
    ),
    case(
        "fs_test.go: if_none_match before if_modified_since",
        "GET /file HTTP/1.1\nIf-None-Match: \"Foo\"\nIf-Modified-Since: {date}",
        Whole,
    ),
    case(
        "fs_test.go: range_match",
        "GET /file HTTP/1.1\nRange: bytes=0-4\nIf-Range: {tag}",
        Part((0, 4)),
    ),
    case(
        "fs_test.go: range_match_weak_etag",
        "GET /weak HTTP/1.1\nRange: bytes=0-4\nIf-Range: {tag}",
        Whole,
    ),
    case(
        "fs_test.go: range_no_match",
        "GET /file HTTP/1.1\nRange: bytes=0-4\nIf-Range: \"B\"",
        Whole,
    ),
    case(
        "fs_test.go: range_no_overlap",
        "GET /file HTTP/1.1\nRange: bytes=20-30\nIf-Range: {tag}",
        Status(416),
    ),
    case(
        "fs_test.go: ifmatch_matches",
        "GET /file HTTP/1.1\nIf-Match: \"Z\", {tag}",
        Whole,
    ),
    case(
        "fs_test.go: ifmatch_fails_on_weak_etag",
        "GET /weak HTTP/1.1\nIf-Match: {tag}",
        Status(412),
    ),
    case(
        "fs_test.go: if_unmodified_since_true",
        "GET /file HTTP/1.1\nIf-Unmodified-Since: {date}",
        Whole,
    ),
    case(
        "fs_test.go: if_unmodified_since_false",
        "GET /file HTTP/1.1\nIf-Unmodified-Since: {before}",
        Status(412),
    ),
    case(
        "fs_test.go: 304 before a range",
        "GET /file HTTP/1.1\nRange: bytes=0-4\nIf-None-Match: {tag}",
        Status(304),
    ),
    case("fs_test.go: NUL", "GET /file%00 HTTP/1.1", Status(404)),
    case(
        "fs_test.go: dots",
        "GET /dir%2f..%2ffile HTTP/1.1",
        Status(404),
    ),
];
