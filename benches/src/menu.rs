//! How the time of pxe-menu grows with a menu: in proportion, it should be, in whatever way it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use pxe_menu::{
    Client, Document, Files, GrubOptions, GrubParser, IpxeOptions, Limits, LinkedMenu, Loader,
    MenuReader, Parser, Paths, Resolution, Text, lint, render_grub, render_ipxe, render_json,
    render_syslinux, render_text, resolve,
};

use crate::statistics::median;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Numbers of labels.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 100_000])]
    labels: Vec<usize>,
    /// Times that each is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the menu of this name.
    #[arg(long)]
    only: Option<String>,
}

/// A way to write a menu of many labels.
struct Shape {
    name: &'static str,
    write: fn(&mut String, usize, usize),
}

/// What makes a reader, or its checks, compare each with each: names that are alike.
const SHAPES: [Shape; 6] = [
    Shape {
        name: "plain",
        write: |menu, index, _| entry(menu, &format!("label{index}"), index),
    },
    Shape {
        name: "no-ui",
        write: |menu, index, labels| {
            if index + 1 == labels {
                menu.push_str("DEFAULT labels\n");
            }
            entry(menu, &format!("label{index}"), index);
        },
    },
    Shape {
        name: "same-label",
        write: |menu, index, _| entry(menu, "label", index),
    },
    Shape {
        name: "submenus",
        write: |menu, index, labels| {
            let each = (labels / 1000).max(1);
            if index % each == 0 {
                if index > 0 {
                    menu.push_str("MENU END\n");
                }
                let _ = writeln!(menu, "MENU BEGIN m{index}\nONTIMEOUT label{index}");
            }
            entry(menu, &format!("label{index}"), index);
        },
    },
    Shape {
        name: "missing",
        write: |menu, index, _| entry(menu, &format!("label{index}"), index + 10_000_000),
    },
    Shape {
        name: "misspelt",
        write: |menu, index, _| {
            entry(menu, &format!("label{index}"), index);
            menu.push_str("  arppend quiet\n  MENU GOTO nowhere\n");
        },
    },
];

fn entry(menu: &mut String, label: &str, index: usize) {
    let _ = writeln!(
        menu,
        "LABEL {label}\n  MENU LABEL ^Entry {index}\n  LINUX os/vmlinuz-{index}\n  \
         INITRD os/initrd-{index}\n  APPEND boot=casper ip=dhcp netboot=nfs nfsroot=h:/x quiet\n  \
         TEXT HELP\nSome help for it\n  ENDTEXT"
    );
}

/// The files of a server, all in one folder.
struct Server {
    files: BTreeSet<Vec<u8>>,
    folders: BTreeMap<Vec<u8>, Vec<Text>>,
}

impl Server {
    fn new(labels: usize) -> Self {
        let mut names = Vec::new();
        for index in 0..labels {
            names.push(format!("vmlinuz-{index}"));
            names.push(format!("initrd-{index}"));
        }
        let paths = names
            .iter()
            .map(|name| format!("os/{name}").into_bytes())
            .chain([b"menu.c32".to_vec()]);
        Self {
            files: paths.collect(),
            folders: BTreeMap::from([(
                b"os".to_vec(),
                names.into_iter().map(Text::from).collect(),
            )]),
        }
    }
}

impl Files for Server {
    fn is_file(&self, path: &[u8]) -> bool {
        self.files.contains(path)
    }

    fn names(&self, folder: &[u8]) -> Vec<Text> {
        self.folders.get(folder).cloned().unwrap_or_default()
    }

    fn head(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.is_file(path).then(|| b"\x7fELF\x01".to_vec())
    }
}

fn limits(bytes: usize) -> Limits {
    let mut limits = Limits::default();
    limits.bytes_max = bytes;
    limits.lines_max = usize::MAX;
    limits.entries_max = usize::MAX;
    limits
}

fn read(menu: &str) -> Document {
    let mut parser = Parser::new("main", limits(menu.len()));
    while let Some(need) = parser.poll_need() {
        parser.provide(need.id, menu.as_bytes());
    }
    parser.finish()
}

/// With all that the menu leads to, which is nothing here.
fn read_linked(menu: &str, paths: &Paths) -> LinkedMenu {
    let mut reader = MenuReader::new("main", paths.clone(), limits(menu.len()));
    while let Some(need) = reader.poll_need() {
        reader.provide(need.id, menu.as_bytes());
    }
    reader.finish()
}

fn read_grub(config: &Text) -> Resolution {
    let mut parser = GrubParser::new("main", limits(config.len()));
    while let Some(need) = parser.poll_need() {
        parser.provide(need.id, config.as_bytes());
    }
    parser.finish()
}

/// A measurement of each round, by its name, in the order of the first.
#[derive(Default)]
struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    fn measure<T>(&mut self, name: &'static str, labels: usize, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let made = black_box(work());
        let each = start.elapsed().as_nanos() as f64 / labels as f64;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(each),
            None => self.0.push((name, vec![each])),
        }
        made
    }
}

fn measure(shape: &Shape, labels: usize, rounds: usize) -> Times {
    let mut menu = String::new();
    if shape.name != "no-ui" {
        menu.push_str("UI menu.c32\nDEFAULT labels\nTIMEOUT 50\n");
    }
    for index in 0..labels {
        (shape.write)(&mut menu, index, labels);
    }
    let server = Server::new(labels);
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let client = Client::new();
    let ipxe = IpxeOptions::new(paths.clone());
    let grub = GrubOptions::new(paths.clone(), "(http,192.0.2.1)");
    let mut times = Times::default();
    for _ in 0..rounds {
        let document = times.measure("parse", labels, || read(&menu));
        let resolution = times.measure("resolve", labels, || resolve(&document));
        times.measure("linked", labels, || read_linked(&menu, &paths));
        times.measure("lint", labels, || {
            lint(&resolution, &paths, &client, &server)
        });
        let menu = &resolution.menu;
        times.measure("find", labels, || menu.find_label(b"nowhere").is_none());
        times.measure("syslinux", labels, || render_syslinux(menu));
        times.measure("ipxe", labels, || render_ipxe(menu, &ipxe));
        let config = times.measure("grub", labels, || render_grub(menu, &grub));
        times.measure("read grub", labels, || read_grub(&config.text));
        times.measure("text", labels, || render_text(menu));
        times.measure("json", labels, || {
            render_json(menu, Loader::Lpxelinux, &client)
        });
    }
    times
}

pub(crate) fn run(options: &Options) {
    println!(
        "nanoseconds for each label, medians of {} rounds",
        options.rounds
    );
    for shape in &SHAPES {
        if options.only.as_ref().is_some_and(|only| only != shape.name) {
            continue;
        }
        for (row, labels) in options.labels.iter().enumerate() {
            let times = measure(shape, *labels, options.rounds).0;
            if row == 0 {
                print!("\n{:>20}", shape.name);
                times.iter().for_each(|(name, _)| print!("{name:>10}"));
                println!();
            }
            print!("{labels:>20}");
            for (_, values) in &times {
                print!("{:>10.0}", median(values).unwrap_or_default());
            }
            println!();
        }
    }
}
