//! Cases of public test suites, on each driver: all over one connection, which has to live through
//! every kind of answer.

use std::num::NonZeroU64;
use std::sync::Arc;

use pxe_http::Limits;
use pxe_tree::{
    Attributes, ErrorKind, FileRequest, MemBlob, NodeId, NodeKind, Opened, Timestamp, source_fn,
};

use crate::driver::Driver;
use crate::on_every_driver;
use crate::suite_cases::{CASES, Case, File, MODIFIED, Wanted, range};
use crate::support::Client;

on_every_driver! {
    cases_of_other_servers_suites_over_one_connection,
}

fn blob(file: File) -> Arc<MemBlob> {
    let node = NodeId::new(NonZeroU64::MIN);
    let mut attributes = Attributes::new(node, NodeKind::File, file.len);
    attributes.change = file.change;
    attributes.modified = Timestamp::from_seconds(MODIFIED);
    MemBlob::with_attributes(file.content(), attributes)
}

/// A head and, as far as it has one, its body.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self
            .head
            .split("\r\n")
            .filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

async fn ask(client: &mut Client, lines: &[String]) -> Answer {
    client.send(format!("{}\r\n\r\n", lines.join("\r\n"))).await;
    let head = client.head().await;
    let mut answer = Answer {
        head,
        body: Vec::new(),
    };
    let len = answer.field("Content-Length").map(str::parse::<usize>);
    if !lines[0].starts_with("HEAD ")
        && let Some(len) = len
    {
        answer.body = client.body(len.expect("a number")).await;
    }
    answer
}

async fn judge(client: &mut Client, case: &Case) {
    let source = case.source;
    let file = case.file();
    let content = file.map(File::content).unwrap_or_default();
    let tag = match file {
        None => String::new(),
        Some(file) => {
            let probe = [format!("HEAD {} HTTP/1.1", file.path), "Host: a".to_owned()];
            let answer = ask(client, &probe).await;
            answer.field("ETag").expect("a tag").to_owned()
        }
    };
    let answer = ask(client, &case.lines(&tag)).await;
    let status = match case.wanted {
        Wanted::Whole => 200,
        Wanted::Part(_) | Wanted::Parts(_) => 206,
        Wanted::Status(status) => status,
    };
    let (method, _, is_1_1) = case.request_line();
    let head = &answer.head;
    assert_eq!(
        head.split(' ').nth(1),
        Some(&*status.to_string()),
        "{source}\n{head}"
    );
    let bytes_of = |part| {
        let range = range(part);
        content[range.start as usize..range.end as usize].to_vec()
    };
    match case.wanted {
        Wanted::Whole if method == "HEAD" => {
            let len = content.len().to_string();
            assert_eq!(answer.field("Content-Length"), Some(&*len), "{source}");
        }
        Wanted::Whole => assert_eq!(answer.body, content, "{source}"),
        Wanted::Part(part) => assert_eq!(answer.body, bytes_of(part), "{source}"),
        Wanted::Parts(parts) => {
            let media_type = answer.field("Content-Type").expect("a type");
            let boundary = media_type
                .strip_prefix("multipart/byteranges; boundary=")
                .expect("a boundary");
            let mut wanted = Vec::new();
            for (number, &(first, last)) in parts.iter().enumerate() {
                let begin = if number == 0 { "" } else { "\r\n" };
                let part = format!(
                    "{begin}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                     Content-Range: bytes {first}-{last}/{}\r\n\r\n",
                    content.len()
                );
                wanted.extend_from_slice(part.as_bytes());
                wanted.extend_from_slice(&bytes_of((first, last)));
            }
            wanted.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
            assert_eq!(answer.body, wanted, "{source}");
        }
        Wanted::Status(304) => assert_eq!(answer.field("Content-Length"), None, "{source}"),
        Wanted::Status(_) => {}
    }
    let connection = (!is_1_1).then_some("keep-alive");
    assert_eq!(answer.field("Connection"), connection, "{source}");
}

async fn cases_of_other_servers_suites_over_one_connection(driver: Driver) {
    let source = source_fn(
        |request: &FileRequest<'_>| match File::at(&request.path.to_string()) {
            Some(file) => Ok(Opened::File(blob(file))),
            None => Err(ErrorKind::NotFound.into()),
        },
    );
    let server = driver.start(Limits::default(), Arc::new(source)).await;
    let mut client = server.connect().await;
    for case in CASES {
        judge(&mut client, case).await;
    }
    // And it still answers.
    let last = ask(&mut client, &["GET /file HTTP/1.0".to_owned()]).await;
    assert_eq!(last.field("Connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
}
