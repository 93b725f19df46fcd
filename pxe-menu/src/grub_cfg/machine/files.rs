//! Commands that read other files, and those that look for devices.

use super::super::device::Target;
use super::super::outcome::Load;
use super::super::test::Status;
use super::super::variables::{Argument, Doubt};
use super::{Asked, Context, Machine};
use crate::diagnostic::quoted;
use crate::{Code, NeedKind, Place};

impl Machine<'_> {
    /// The devices of the machine are searched, never the network.
    pub(super) fn search(&mut self, arguments: &[Argument], place: Place) -> Status {
        self.outcome.searched = true;
        if self.context == Context::Menu
            && arguments
                .iter()
                .any(|argument| argument.text.starts_with(b"--set") || argument.text == b"-s")
        {
            let root = self.variables.text("root").cloned().unwrap_or_default();
            let message = format!(
                "search looks at the machine's own devices: taken as finding nothing, so that $root stays {}",
                quoted(&root)
            );
            self.say(Code::LocalDevice, place, message);
        }
        Status::Unknown
    }

    pub(super) fn loopback(&mut self, arguments: &[Argument], place: Place) -> Status {
        let mut words = arguments
            .iter()
            .filter(|argument| !argument.text.starts_with(b"-"));
        if let (Some(device), Some(_)) = (words.next(), words.next()) {
            let message = format!(
                "files of the device {} lie inside of an image: no other loader can be told of them",
                quoted(&device.text)
            );
            self.say(Code::LocalDevice, place, message);
        }
        Status::Unknown
    }

    pub(super) fn source(&mut self, arguments: &[Argument], place: Place) -> Status {
        let Some(file) = arguments.first() else {
            self.say(Code::MissingValue, place, "source without a file");
            return Status::False;
        };
        self.told_doubt(arguments, place);
        if let Some(Doubt::Machine(_)) = file.doubt {
            return Status::Unknown;
        }
        self.read(&file.text.clone(), file.place.unwrap_or(place))
    }

    /// Runs a file in the place of the command.
    fn read(&mut self, name: &[u8], place: Place) -> Status {
        let file = match self.target(name) {
            Target::Server(file) => file,
            Target::Device(name) | Target::Unsayable(name) => {
                let message = format!("{} is not on the network: it is not read", quoted(&name));
                self.say(Code::LocalDevice, place, message);
                return Status::Unknown;
            }
        };
        let known = self.setting.library.open(&file);
        let Some((id, block)) = known else {
            self.asked.push(Asked {
                file,
                kind: NeedKind::Include,
                place,
            });
            return Status::Unknown;
        };
        let Some(block) = block else {
            let message = format!("{} is not there: GRUB goes on without it", quoted(&file));
            self.say(Code::MissingInclude, place, message);
            return Status::False;
        };
        if self.open.contains(&id) {
            let message = format!("{} reads itself: GRUB would never end", quoted(&file));
            self.say(Code::IncludeCycle, place, message);
            return Status::False;
        }
        if self.open.len() >= self.setting.limits.depth_max {
            let message = format!("files read each other more than {} deep", self.open.len());
            self.say(Code::Limited, place, message);
            return Status::False;
        }
        self.open.push(id);
        let status = self.deeper(place, |machine| machine.block(&block));
        self.open.pop();
        status
    }

    pub(super) fn configfile(
        &mut self,
        name: &[u8],
        arguments: &[Argument],
        place: Place,
    ) -> Status {
        let prefix = self.variables.text("prefix").cloned().unwrap_or_default();
        let file = match arguments.first() {
            Some(file) => file.text.clone(),
            None if name == b"normal" => [prefix.as_bytes(), b"/grub.cfg"].concat(),
            None => {
                self.say(Code::MissingValue, place, "configfile without a file");
                return Status::False;
            }
        };
        self.told_doubt(arguments, place);
        let first = arguments.first();
        let is_unknown = first.is_some_and(|file| matches!(file.doubt, Some(Doubt::Machine(_))));
        let place = first.and_then(|file| file.place).unwrap_or(place);
        let is_grub = matches!(name, b"configfile" | b"normal");
        match (self.context, self.target(&file)) {
            // Its menu is shown at once, and this one only when that is left.
            (Context::Menu, Target::Server(_)) if is_grub && !is_unknown => {
                self.read(&file, place);
            }
            (_, Target::Server(file)) => {
                self.outcome.load(Load::Config(file));
                self.outcome.lines.image = Some(place);
            }
            (_, Target::Device(_)) => {
                let message = format!(
                    "{} is on the machine: the entry is taken as one that boots from there",
                    quoted(&file)
                );
                self.say(Code::LocalDevice, place, message);
                self.outcome.load(Load::Leave);
            }
            (_, Target::Unsayable(name)) => {
                self.outcome.load(Load::Unsayable(name));
            }
        }
        Status::Unknown
    }
}
