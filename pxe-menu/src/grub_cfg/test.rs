//! `test` and `[`, as far as their outcome is known before the machine boots (commands/test.c).

use super::variables::Argument;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    True,
    False,
    /// Only the machine knows.
    Unknown,
}

impl Status {
    pub(super) fn of(known: bool) -> Self {
        if known { Self::True } else { Self::False }
    }

    pub(super) fn inverted(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// The outcome of a test.
///
/// `is_remote` says whether a name is of a file on the network. Such a file is never there to `-e`, `-f`
/// and `-d`: GRUB looks for a name among those of its folder, and a server lists none
/// (`grub_net_fs_dir` in net/net.c). `asks_remote` is set where a test does so.
pub(super) fn test(
    arguments: &[Argument],
    is_remote: &dyn Fn(&[u8]) -> bool,
    asks_remote: &mut bool,
) -> Status {
    let mut reader = Reader {
        arguments,
        at: 0,
        is_remote,
        asks_remote,
    };
    reader.expression(0)
}

struct Reader<'a> {
    arguments: &'a [Argument],
    at: usize,
    is_remote: &'a dyn Fn(&[u8]) -> bool,
    asks_remote: &'a mut bool,
}

/// GRUB's own bound is 100 brackets in each other.
const DEPTH_MAX: usize = 32;

impl<'a> Reader<'a> {
    fn text(&self, ahead: usize) -> Option<&'a [u8]> {
        let argument = self.arguments.get(self.at + ahead)?;
        Some(&argument.text)
    }

    fn doubtful(&self, ahead: usize) -> bool {
        let argument = self.arguments.get(self.at + ahead);
        argument.is_some_and(|argument| argument.doubt.is_some())
    }

    fn expression(&mut self, depth: usize) -> Status {
        // What the terms joined by `-a` say, and those before an `-o`.
        let mut and = Status::True;
        let mut or = Status::False;
        let mut invert = false;
        while let Some(first) = self.text(0) {
            let value = if let (Some(operator), Some(_)) = (self.text(1), self.text(2))
                && let Some(value) = self.compared(operator)
            {
                self.at += 3;
                value
            } else if let Some(operand) = self.text(1)
                && let Some(value) = self.unary(first, operand)
            {
                self.at += 2;
                value
            } else {
                self.at += 1;
                match first {
                    b")" => return either(or, and),
                    b"(" if depth < DEPTH_MAX => self.expression(depth + 1),
                    b"(" => Status::Unknown,
                    b"!" => {
                        invert = !invert;
                        continue;
                    }
                    b"-a" => continue,
                    b"-o" => {
                        or = either(or, and);
                        and = Status::True;
                        continue;
                    }
                    text => {
                        self.at -= 1;
                        let value = self.known(!text.is_empty(), 1);
                        self.at += 1;
                        value
                    }
                }
            };
            let value = if core::mem::take(&mut invert) {
                value.inverted()
            } else {
                value
            };
            and = both(and, value);
        }
        either(or, and)
    }

    fn known(&self, value: bool, arguments: usize) -> Status {
        if (0..arguments).any(|ahead| self.doubtful(ahead)) {
            Status::Unknown
        } else {
            Status::of(value)
        }
    }

    fn compared(&mut self, operator: &[u8]) -> Option<Status> {
        let (left, right) = (self.text(0)?, self.text(2)?);
        let value = match operator {
            b"=" | b"==" => left == right,
            b"!=" => left != right,
            b"<" => left < right,
            b"<=" => left <= right,
            b">" => left > right,
            b">=" => left >= right,
            b"-eq" => number(left) == number(right),
            b"-ne" => number(left) != number(right),
            b"-lt" => number(left) < number(right),
            b"-le" => number(left) <= number(right),
            b"-gt" => number(left) > number(right),
            b"-ge" => number(left) >= number(right),
            b"-pgt" | b"-plt" => return Some(Status::Unknown),
            [b'-', b'n' | b'o', b't', ..] => return Some(Status::Unknown),
            _ => return None,
        };
        Some(self.known(value, 3))
    }

    fn unary(&mut self, operator: &[u8], operand: &[u8]) -> Option<Status> {
        match operator {
            b"-e" | b"-f" | b"-d" => {
                if self.doubtful(1) || !(self.is_remote)(operand) {
                    return Some(Status::Unknown);
                }
                *self.asks_remote = true;
                Some(Status::False)
            }
            b"-s" => Some(Status::Unknown),
            b"-n" => Some(self.known(!operand.is_empty(), 2)),
            b"-z" => Some(self.known(operand.is_empty(), 2)),
            _ => None,
        }
    }
}

fn both(a: Status, b: Status) -> Status {
    match (a, b) {
        (Status::False, _) | (_, Status::False) => Status::False,
        (Status::True, Status::True) => Status::True,
        _ => Status::Unknown,
    }
}

fn either(a: Status, b: Status) -> Status {
    match (a, b) {
        (Status::True, _) | (_, Status::True) => Status::True,
        (Status::False, Status::False) => Status::False,
        _ => Status::Unknown,
    }
}

/// `grub_strtosl` with base 0, as far as tests of menus need it.
fn number(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let magnitude = i64::from(crate::scan::strtoul(digits).0);
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::super::variables::Doubt;
    use super::*;

    fn outcome(words: &str) -> Status {
        let argument = |word: &str| Argument {
            text: word.replace('~', "").into(),
            doubt: word.starts_with('?').then(|| Doubt::Machine("x".into())),
            place: None,
        };
        let arguments: Vec<Argument> = words.split(' ').map(argument).collect();
        test(&arguments, &|name| !name.starts_with(b"(hd"), &mut false)
    }

    #[test]
    fn tests_are_decided_where_they_can_be() {
        for (words, expected) in [
            ("efi = efi", Status::True),
            ("efi == pc", Status::False),
            ("efi != pc", Status::True),
            ("?a = efi", Status::Unknown),
            ("?a = efi -a pc = efi", Status::False),
            ("?a = efi -o efi = efi", Status::True),
            ("! pc = efi", Status::True),
            ("( pc = efi ) -o ( a = a )", Status::True),
            ("-n ~", Status::False),
            ("-z ~", Status::True),
            ("10 -gt 9", Status::True),
            ("a", Status::True),
            ("~", Status::False),
        ] {
            assert_eq!(outcome(words), expected, "{words}");
        }
    }

    /// `grub_net_fs_dir` (net/net.c) lists nothing.
    #[test]
    fn a_file_on_the_network_is_never_there_to_a_test() {
        assert_eq!(outcome("-e /grub/x.cfg"), Status::False);
        assert_eq!(outcome("-f (hd0,1)/x"), Status::Unknown);
        assert_eq!(outcome("-s /grub/x.cfg"), Status::Unknown);
    }
}
