//! How the time of reading grows with the menu: it should be in proportion. Printed, never asserted.

use std::time::Instant;

use pxe_menu::{Limits, Parser, render_syslinux, resolve};

fn main() {
    for labels in [1_000, 10_000, 100_000] {
        let mut menu = String::from("UI menu.c32\nTIMEOUT 50\n");
        for index in 0..labels {
            menu.push_str(&format!(
                "LABEL label{index}\n  MENU LABEL ^Entry {index}\n  LINUX os/{index}/vmlinuz\n  \
                 INITRD os/{index}/initrd\n  APPEND boot=casper ip=dhcp netboot=nfs quiet\n"
            ));
        }
        let mut limits = Limits::default();
        limits.bytes_max = menu.len();
        let size = menu.len();
        let start = Instant::now();
        let mut parser = Parser::new("main", limits);
        while let Some(need) = parser.poll_need() {
            parser.provide(need.id, menu.as_bytes());
        }
        let document = parser.finish();
        let parsed = start.elapsed();
        let resolution = resolve(&document);
        let resolved = start.elapsed() - parsed;
        let rendered = render_syslinux(&resolution.menu).len();
        let each = (parsed + resolved).as_nanos() / labels;
        println!(
            "{labels:7} labels, {size:9} bytes: read {parsed:?}, resolved {resolved:?}, {each} ns a label; \
             {rendered} bytes rendered"
        );
    }
}
