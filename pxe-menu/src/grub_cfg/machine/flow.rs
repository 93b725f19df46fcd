//! Conditions and loops, where they can be decided and where they cannot.

use super::super::names::{WITHOUT_EFFECT, is_in};
use super::super::outcome::Load;
use super::super::script::{Block, Condition, Statement, Word};
use super::super::test::Status;
use super::super::token::Part;
use super::super::variables::Doubt;
use super::{Context, Flow, Machine};
use crate::{Code, Place, Text};

impl Machine<'_> {
    pub(super) fn condition(&mut self, condition: &Condition, arm: usize) -> Status {
        let Some(found) = condition.arms.get(arm) else {
            let otherwise = condition.otherwise.as_ref();
            return otherwise.map_or(Status::True, |block| self.block(block));
        };
        let place = found.place;
        if !self.step(1, Some(place)) {
            return Status::Unknown;
        }
        self.asked_remote = None;
        let outcome = self.deeper(place, |machine| machine.block(&found.condition));
        if let Some(test) = self.asked_remote.take()
            && matters(&found.body)
        {
            self.tell_test(test);
        }
        if self.flow != Flow::On {
            return outcome;
        }
        match outcome {
            Status::True => self.deeper(place, |machine| machine.block(&found.body)),
            Status::False => self.deeper(place, |machine| machine.condition(condition, arm + 1)),
            Status::Unknown => self.deeper(place, |machine| {
                machine.both(place, &|machine| machine.block(&found.body), &|machine| {
                    machine.condition(condition, arm + 1)
                })
            }),
        }
    }

    /// Runs both branches of a condition that cannot be decided, each from the same variables.
    fn both(
        &mut self,
        place: Place,
        first: &dyn Fn(&mut Self) -> Status,
        second: &dyn Fn(&mut Self) -> Status,
    ) -> Status {
        if !self.step(self.outcome.bytes() / 1024, Some(place)) {
            return Status::Unknown;
        }
        let before = self.outcome.clone();
        let (entries, asked) = (self.entries, self.asked.len());
        let mark = self.variables.mark();
        first(self);
        let changed = self.variables.roll_back(mark);
        let flow = core::mem::replace(&mut self.flow, Flow::On);
        let one = core::mem::replace(&mut self.outcome, before.clone());
        let mark = self.variables.mark();
        second(self);
        let other = self.variables.roll_back(mark);
        self.step((changed.len() + other.len()) / 16, Some(place));
        self.variables.merge(&changed, &other);
        // Both are left only where both leave.
        if self.flow != flow {
            self.flow = Flow::On;
        }
        let two = core::mem::take(&mut self.outcome);
        let matters =
            self.entries != entries || self.asked.len() != asked || one != before || two != before;
        let differ = one.load != two.load || one.initrds != two.initrds;
        // A disk of the machine: told already.
        let is_disk = one.load == Some(Load::Leave) && self.context == Context::Entry;
        self.outcome = if one.starts_something() { one } else { two };
        if matters && (differ || self.context == Context::Menu) && !is_disk {
            let message = match self.context {
                Context::Entry => {
                    "only the machine can decide this: the entry is taken as its first branch has it"
                }
                Context::Menu => "only the machine can decide this: both branches are read",
            };
            self.say(Code::UndecidedCondition, place, message);
        }
        Status::Unknown
    }

    pub(super) fn for_each(
        &mut self,
        name: &Text,
        words: &[Word],
        body: &Block,
        place: Place,
    ) -> Status {
        let Some(values) = self.arguments(words, place) else {
            return Status::False;
        };
        let mut status = Status::True;
        for value in values {
            if !self.step(1, Some(place)) {
                break;
            }
            let certainty = Doubt::certainty(value.doubt.as_ref());
            self.assign(name.clone(), Text::new(value.text), certainty, place);
            status = self.block(body);
            if !self.next_round() {
                break;
            }
        }
        status
    }

    /// After a round of a loop: whether there may be another.
    fn next_round(&mut self) -> bool {
        match self.flow {
            Flow::On => true,
            Flow::Continue(1) => {
                self.flow = Flow::On;
                true
            }
            Flow::Break(1) => {
                self.flow = Flow::On;
                false
            }
            Flow::Break(count) => {
                self.flow = Flow::Break(count - 1);
                false
            }
            Flow::Continue(count) => {
                self.flow = Flow::Continue(count - 1);
                false
            }
            Flow::Return | Flow::Ended => false,
        }
    }

    pub(super) fn while_true(
        &mut self,
        until: bool,
        condition: &Block,
        body: &Block,
        place: Place,
    ) -> Status {
        while self.step(1, Some(place)) {
            let status = self.block(condition);
            if self.flow != Flow::On {
                break;
            }
            let goes_on = if until { status.inverted() } else { status };
            match goes_on {
                Status::False => break,
                Status::True => {
                    self.block(body);
                    if !self.next_round() {
                        break;
                    }
                }
                Status::Unknown => {
                    // One round, which may or may not be.
                    self.both(
                        place,
                        &|machine| {
                            let status = machine.block(body);
                            machine.next_round();
                            status
                        },
                        &|_| Status::True,
                    );
                    break;
                }
            }
        }
        Status::Unknown
    }
}

/// Whether commands do more than change how the screen looks.
fn matters(block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Command(command) => {
            let first = command.words.first().map(|word| word.parts.as_slice());
            match first {
                Some([Part::Text(name)]) if is_in(WITHOUT_EFFECT, name) => false,
                Some([Part::Text(name)]) if name == b"set" => {
                    let second = command.words.get(1).map(|word| word.parts.as_slice());
                    !matches!(second, Some([Part::Text(set), ..]) if is_of_looks(set))
                }
                Some([Part::Text(name), ..]) => !is_of_looks(name),
                _ => true,
            }
        }
        Statement::If(condition) => {
            condition.arms.iter().any(|arm| matters(&arm.body))
                || condition.otherwise.as_ref().is_some_and(matters)
        }
        Statement::For { body, .. } | Statement::While { body, .. } => matters(body),
        Statement::Function { .. } => true,
    })
}

/// Whether an assignment is to a variable of the screen's looks.
fn is_of_looks(assignment: &[u8]) -> bool {
    let prefixes: [&[u8]; 8] = [
        b"color_",
        b"menu_color_",
        b"gfx",
        b"theme=",
        b"font=",
        b"locale_dir=",
        b"lang=",
        b"background_color=",
    ];
    prefixes.iter().any(|prefix| assignment.starts_with(prefix))
}
