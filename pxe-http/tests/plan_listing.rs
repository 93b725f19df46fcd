//! Directories: what is read of them, and what people and programs get.

use std::sync::Arc;

use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED,
    RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pxe_http::{Listing, ListingLimits, Omitted, Outcome, Piece, Plan, RequestHead, plan};
use pxe_tree::{MemTree, NodeKind, Timestamp, Tree};

const NOW: Timestamp = Timestamp::from_seconds(784_111_777);
/// What Firefox sends.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn ask(method: &Method, fields: &[(HeaderName, &str)], outcome: Outcome<'_>) -> Plan {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("10.0.0.1"));
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).expect("visible"));
    }
    let head = RequestHead::new(method, "/os/?C=N", Version::HTTP_11, &headers);
    plan(&head, outcome, NOW)
}

fn get(fields: &[(HeaderName, &str)], listing: &Listing) -> Plan {
    ask(&Method::GET, fields, Outcome::Directory(Some(listing)))
}

fn text<'a>(plan: &'a Plan, name: &HeaderName) -> &'a str {
    let value = plan.header(name).expect("the field");
    value.to_str().expect("text")
}

fn page(plan: &Plan) -> &str {
    match plan.body.as_slice() {
        [Piece::Text(text)] => std::str::from_utf8(text).expect("UTF-8"),
        other => panic!("no page but {other:?}"),
    }
}

fn tree() -> Arc<MemTree> {
    let tree = MemTree::new();
    for (path, content) in [
        ("os/linux", "kernel"),
        ("os/.disk", "info"),
        ("os/Zeta/a", ""),
        ("os/alpha/b", ""),
    ] {
        tree.insert_file(path, content).expect("free");
    }
    tree.insert_link("os/current", "alpha").expect("free");
    Arc::new(tree)
}

async fn listing_of(tree: &MemTree, path: &str, limits: &ListingLimits) -> Listing {
    let path = path.parse().expect("a path");
    let found = pxe_tree::resolve(tree, &path).await.expect("a directory");
    Listing::read(tree, found.attributes.node, limits)
        .await
        .expect("a listing")
}

fn names(listing: &Listing) -> Vec<String> {
    let names = listing.entries.iter();
    names.map(|entry| entry.name.to_string()).collect()
}

#[tokio::test]
async fn directories_come_first_and_all_is_sorted_and_nothing_hidden() {
    let listing = listing_of(&tree(), "os", &ListingLimits::default()).await;
    assert_eq!(
        names(&listing),
        ["Zeta", "alpha", ".disk", "current", "linux"]
    );
    assert_eq!(listing.omitted, Omitted::Nothing);
    let [zeta, _, _, current, linux] = listing.entries.as_slice() else {
        panic!("five entries");
    };
    assert_eq!((zeta.kind, zeta.len), (NodeKind::Directory, None));
    assert_eq!(current.target.as_deref(), Some(&b"alpha"[..]));
    assert_eq!((linux.kind, linux.len), (NodeKind::File, Some(6)));
}

#[tokio::test]
async fn of_a_large_directory_the_first_names_are_shown_and_the_others_counted() {
    let tree = MemTree::new();
    // In no order, on several pages.
    for number in (0..5000_u32).map(|number| number * 7919 % 5000) {
        let path = format!("pxelinux.cfg/{number:04}");
        tree.insert_file(&path, "").expect("free");
    }
    let mut limits = ListingLimits::default();
    limits.entries_max = 3;
    let listing = listing_of(&tree, "pxelinux.cfg", &limits).await;
    assert_eq!(names(&listing), ["0000", "0001", "0002"]);
    assert_eq!(listing.omitted, Omitted::Entries(4997));
    assert!(page(&get(&[], &listing)).contains("<p>... and 4997 more entries</p>"));

    limits.scanned_max = 2000;
    let listing = listing_of(&tree, "pxelinux.cfg", &limits).await;
    assert_eq!(
        (listing.entries.len(), listing.omitted),
        (3, Omitted::Unknown)
    );
}

#[tokio::test]
async fn an_empty_directory_and_what_is_none() {
    let tree = MemTree::new();
    let listing = Listing::read(&tree, tree.root(), &ListingLimits::default()).await;
    assert_eq!(listing.expect("the root"), Listing::new(Vec::new()));

    tree.insert_file("a", "").expect("free");
    let file = pxe_tree::resolve(&tree, &"a".parse().expect("a path")).await;
    let node = file.expect("a file").attributes.node;
    let refused = Listing::read(&tree, node, &ListingLimits::default()).await;
    assert_eq!(
        refused.expect_err("a file").kind(),
        pxe_tree::ErrorKind::NotADirectory
    );
}

#[tokio::test]
async fn browsers_get_html_and_programs_that_ask_for_it_json() {
    let listing = listing_of(&tree(), "os", &ListingLimits::default()).await;
    for accept in [None, Some("*/*"), Some(BROWSER), Some("image/png")] {
        let fields: Vec<_> = accept.map(|value| (ACCEPT, value)).into_iter().collect();
        let plan = get(&fields, &listing);
        assert_eq!(plan.status, StatusCode::OK);
        assert_eq!(text(&plan, &CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(page(&plan).contains("<td><a href=\"linux\">linux</a></td><td>6 B</td>"));
    }
    let plan = get(&[(ACCEPT, "application/json")], &listing);
    assert_eq!(text(&plan, &CONTENT_TYPE), "application/json");
    assert!(page(&plan).starts_with("{\"path\":\"/os/\",\"entries\":[\n"));
    assert_eq!(text(&plan, &VARY), "accept");
    assert_eq!(text(&plan, &CONTENT_LENGTH), plan.body_len().to_string());
}

#[tokio::test]
async fn a_listing_has_a_tag_of_its_own_and_no_ranges() {
    let listing = listing_of(&tree(), "os", &ListingLimits::default()).await;
    let first = get(&[(RANGE, "bytes=0-9")], &listing);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header(&LAST_MODIFIED), None);
    let tag = text(&first, &ETAG).to_owned();
    assert!(tag.starts_with('"'), "{tag}");

    let again = get(&[(IF_NONE_MATCH, &tag)], &listing);
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.body, []);
    assert_eq!(
        (text(&again, &ETAG), text(&again, &VARY)),
        (&*tag, "accept")
    );

    // The other form, and another content, have other tags.
    let json = [(IF_NONE_MATCH, tag.as_str()), (ACCEPT, "application/json")];
    assert_eq!(get(&json, &listing).status, StatusCode::OK);
    let fewer = Listing::new(listing.entries[1..].to_vec());
    assert_eq!(get(&[(IF_NONE_MATCH, &tag)], &fewer).status, StatusCode::OK);
    let changed = get(&[(IF_MATCH, &tag)], &fewer);
    assert_eq!(changed.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn head_of_a_listing_has_the_fields_of_get() {
    let listing = listing_of(&tree(), "os", &ListingLimits::default()).await;
    let head = ask(&Method::HEAD, &[], Outcome::Directory(Some(&listing)));
    assert_eq!(head.headers, get(&[], &listing).headers);
    assert_eq!(head.body, []);
}

#[test]
fn browsers_get_error_pages_in_html() {
    let missing = Outcome::Failed(pxe_tree::ErrorKind::NotFound);
    let plan = ask(&Method::GET, &[(ACCEPT, BROWSER)], missing);
    assert_eq!(plan.status, StatusCode::NOT_FOUND);
    assert_eq!(text(&plan, &CONTENT_TYPE), "text/html; charset=utf-8");
    assert!(
        page(&plan).contains("<h1>404 Not Found</h1>\n<p>/os: no such file or directory</p>\n")
    );
    for accept in ["*/*", "text/plain", "text/html, text/plain, */*;q=0.01"] {
        let plan = ask(&Method::GET, &[(ACCEPT, accept)], missing);
        assert_eq!(text(&plan, &CONTENT_TYPE), "text/plain; charset=utf-8");
    }
}

/// A path on a page in HTML is text: no element, no attribute.
#[test]
fn no_path_becomes_markup() {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(BROWSER));
    let target = "/%3Cscript%3Ealert(1)%3C/script%3E%22%27&amp;";
    let head = RequestHead::new(&Method::GET, target, Version::HTTP_10, &headers);
    for outcome in [
        Outcome::Failed(pxe_tree::ErrorKind::NotFound),
        Outcome::Moved("/<script>"),
        Outcome::Directory(None),
    ] {
        let plan = plan(&head, outcome, NOW);
        let page = page(&plan);
        assert!(!page.contains("<script") && !page.contains("\"'"), "{page}");
    }
}

/// What a tree knows at once is not all asked at once: other connections have their turn.
#[tokio::test]
async fn a_long_listing_leaves_others_their_turn() {
    let tree = MemTree::new();
    for number in 0..1000 {
        tree.insert_file(format!("f{number}"), "x").expect("free");
    }
    let limits = ListingLimits::default();
    let mut reading = std::pin::pin!(Listing::read(&tree, tree.root(), &limits));
    let mut turns = 0;
    let listing = std::future::poll_fn(|cx| {
        turns += 1;
        reading.as_mut().poll(cx)
    });
    assert_eq!(listing.await.expect("a directory").entries.len(), 1000);
    assert!(turns > 10, "{turns} turns");
}
