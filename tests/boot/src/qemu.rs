//! A virtual machine: software emulation only, so that it runs everywhere and alike.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use pxe_test_lab::{Namespace, Output, Process};
use serde_json::{Value, json};

use crate::matrix::Firmware;
use crate::network::{MACHINE, TAP};
use crate::serial::{self, Chunk};

/// QEMU looks through all that it has translated of a page whenever a byte of that page is written. A live system that clears
/// the pages of its initramfs does nothing else for minutes: unless little is kept, and no CPU says that bytes are best moved
/// one by one (ERMS, FSRM).
const ACCELERATOR: &str = "tcg,thread=multi,tb-size=128";
const CPU: &str = "max,-erms,-fsrm";

/// How long QEMU may take to answer on its control socket.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// A machine that is switched on.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) process: Process,
    pub(crate) console: Receiver<Chunk>,
    keyboard: ChildStdin,
    /// When it was switched on, since the Unix epoch.
    pub(crate) power_on: Duration,
    control: PathBuf,
}

impl Machine {
    /// Switches a machine on; its files go into `work`.
    pub(crate) fn start(
        namespace: &Namespace,
        firmware: &Firmware,
        memory_mib: u32,
        work: &Path,
    ) -> Result<Machine, String> {
        let control = work.join("qmp.sock");
        let mut command = namespace.command(&firmware.emulator);
        command.args(["-accel", ACCELERATOR, "-cpu", CPU, "-smp", "1"]);
        command.args(["-machine", &firmware.machine]);
        command.args(["-m", &format!("{memory_mib}M")]);
        command.args(["-uuid", "7e57ab1e-0000-4000-8000-525400770001"]);
        // A machine that resets has failed: it must not start over and pass by luck.
        command.args([
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-device",
            "VGA",
        ]);
        command.args([
            "-netdev",
            &format!("tap,id=net0,ifname={TAP},script=no,downscript=no"),
        ]);
        let nic = &firmware.nic;
        let mac = MACHINE.map(|octet| format!("{octet:02x}")).join(":");
        command.args([
            "-device",
            &format!("{nic},netdev=net0,mac={mac},bootindex=1"),
        ]);
        command.args([
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ]);
        command.args([
            "-qmp",
            &format!("unix:{},server=on,wait=off", control.display()),
        ]);
        if let Some(flash) = &firmware.flash {
            let variables = work.join("variables.fd");
            fs::copy(&flash.variables, &variables)
                .map_err(|error| format!("cannot copy {}: {error}", flash.variables.display()))?;
            let drive = |file: &Path, options: &str| {
                format!("if=pflash,format=raw,file={}{options}", file.display())
            };
            command.args(["-drive", &drive(&flash.code, ",readonly=on")]);
            command.args(["-drive", &drive(&variables, "")]);
        }
        let work_path = work.display().to_string();
        let arguments = firmware.arguments.iter();
        command.args(arguments.map(|argument| argument.replace("@work@", &work_path)));
        let power_on = serial::now();
        let mut process = Process::spawn(
            command,
            &firmware.emulator,
            &work.join("qemu.log"),
            Output::Pipe,
        )?;
        let output = process.take_output().ok_or("the emulator has no output")?;
        let console = serial::follow(output, &work.join("serial.log"))?;
        let keyboard = process.take_input().ok_or("the emulator has no input")?;
        Ok(Machine {
            process,
            console,
            keyboard,
            power_on,
            control,
        })
    }

    /// Types on the serial console, whose input waits until the machine reads it.
    pub(crate) fn type_keys(&mut self, keys: &str) -> Result<(), String> {
        let typed = self.keyboard.write_all(keys.as_bytes());
        typed
            .and_then(|()| self.keyboard.flush())
            .map_err(|error| format!("cannot type: {error}"))
    }

    /// Saves a picture of the screen, as PNG or as PPM.
    pub(crate) fn take_picture(&self, to: &Path, format: &str) -> Result<(), String> {
        let at = |error: &dyn std::fmt::Display| format!("no picture of the screen: {error}");
        let stream = UnixStream::connect(&self.control).map_err(|error| at(&error))?;
        let bounded = stream
            .set_read_timeout(Some(CONTROL_PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(CONTROL_PATIENCE)));
        bounded.map_err(|error| at(&error))?;
        let mut writer = stream.try_clone().map_err(|error| at(&error))?;
        let mut lines = BufReader::new(stream).lines();
        // The greeting.
        answer(&mut lines, "QMP").map_err(|error| at(&error))?;
        let picture = json!({ "filename": to, "format": format });
        for (execute, arguments) in [("qmp_capabilities", json!({})), ("screendump", picture)] {
            let message = json!({ "execute": execute, "arguments": arguments });
            writeln!(writer, "{message}").map_err(|error| at(&error))?;
            answer(&mut lines, "return").map_err(|error| at(&error))?;
        }
        Ok(())
    }
}

/// Whether more than two of three dots of a picture have this colour, but for what a VGA card makes of it, which has six of
/// its eight bits. It is binary PPM with 8 bits for each of red, green and blue (ppm(5)).
pub(crate) fn is_mostly(picture: &[u8], colour: [u8; 3]) -> bool {
    const LEAST_BITS: u8 = 0b11;
    // `P6`, width, height, 255, and one character of white space.
    let header = picture.iter().enumerate();
    let ends = header.filter(|(_, byte)| byte.is_ascii_whitespace());
    let Some((end, _)) = ends.take(4).last() else {
        return false;
    };
    let dots = picture.get(end + 1..).unwrap_or_default();
    let dots = dots.chunks_exact(colour.len());
    let of = dots.len();
    let is_same = |dot: &[u8]| {
        let mut parts = dot.iter().zip(colour);
        parts.all(|(part, wanted)| part.abs_diff(wanted) <= LEAST_BITS)
    };
    let same = dots.filter(|dot| is_same(dot)).count();
    picture.starts_with(b"P6") && same * 3 > of * 2
}

/// Reads up to the message that has the key. Events come between; an error is one.
fn answer(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    key: &str,
) -> Result<(), String> {
    for line in lines {
        let line = line.map_err(|error| error.to_string())?;
        let message: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if let Some(error) = message.get("error") {
            return Err(error.to_string());
        }
        if message.get(key).is_some() {
            return Ok(());
        }
    }
    Err("the emulator closed its control socket".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{answer, is_mostly};

    #[test]
    fn a_picture_has_the_colour_of_most_of_its_dots() {
        let picture = |dots: &[&[u8; 3]]| {
            let header = format!("P6\n{} 1\n255\n", dots.len());
            let dots = dots.iter().flat_map(|dot| dot.iter().copied());
            header.bytes().chain(dots).collect::<Vec<u8>>()
        };
        let (blue, vga, black) = (&[0, 0, 170], &[0, 0, 168], &[0, 0, 0]);
        assert!(is_mostly(&picture(&[blue, black, vga, blue]), *blue));
        assert!(!is_mostly(&picture(&[blue, black, vga]), *blue));
        assert!(!is_mostly(&picture(&[black; 3]), *blue));
        assert!(!is_mostly(b"P6\n", *blue));
        assert!(!is_mostly(b"", *blue));
    }

    fn ask(text: &str) -> Result<(), String> {
        answer(&mut text.lines().map(|line| Ok(line.to_owned())), "return")
    }

    #[test]
    fn answers_are_told_from_events_and_errors() {
        let event = r#"{"event": "RTC_CHANGE"}"#;
        assert_eq!(ask(&format!("{event}\n{{\"return\": {{}}}}")), Ok(()));
        let error = ask(r#"{"error": {"desc": "no console"}}"#).unwrap_err();
        assert!(error.contains("no console"));
        assert!(ask(event).is_err());
        assert!(ask("hello").is_err());
    }
}
