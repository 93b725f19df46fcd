//! A forwarder that asks nobody.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{ForwardError, Forwarder, Question};
use crate::{Name, Rcode, RecordType, Resolved};

/// Answers from memory, for tests and for programs without a network.
///
/// A name that has no answer for any type is said not to exist; one that has only others is said to
/// have nothing of that type.
#[derive(Debug, Clone, Default)]
pub struct MemForwarder {
    answers: BTreeMap<Name, BTreeMap<RecordType, Result<Resolved, ForwardError>>>,
}

impl MemForwarder {
    /// A forwarder for which no name exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this for that name and type.
    #[must_use]
    pub fn with(
        mut self,
        name: Name,
        kind: RecordType,
        answer: Result<Resolved, ForwardError>,
    ) -> Self {
        self.answers.entry(name).or_default().insert(kind, answer);
        self
    }
}

#[async_trait]
impl Forwarder for MemForwarder {
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError> {
        let nothing = |rcode| Ok(Resolved::new(rcode, Vec::new()));
        match self.answers.get(question.name) {
            None => nothing(Rcode::NXDOMAIN),
            Some(kinds) => match kinds.get(&question.kind) {
                None => nothing(Rcode::NOERROR),
                Some(answer) => answer.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    #[tokio::test]
    async fn memory_tells_missing_names_from_missing_types() {
        let name: Name = "boot.example.".parse().expect("a name");
        let record = Record::new(name.clone(), RecordType::A, 60, vec![192, 0, 2, 1]);
        let answer = Resolved::new(Rcode::NOERROR, vec![record]);
        let forwarder = MemForwarder::new()
            .with(name.clone(), RecordType::A, Ok(answer.clone()))
            .with(name.clone(), RecordType::TXT, Err(ForwardError::Timeout));
        let resolve = |name, kind| forwarder.resolve(Question::new(name, kind));
        assert_eq!(resolve(&name, RecordType::A).await, Ok(answer));
        let failed = resolve(&name, RecordType::TXT).await;
        assert_eq!(failed, Err(ForwardError::Timeout));
        let nothing = |rcode| Ok(Resolved::new(rcode, Vec::new()));
        let other = resolve(&name, RecordType::AAAA).await;
        assert_eq!(other, nothing(Rcode::NOERROR));
        let missing = resolve(&Name::root(), RecordType::A).await;
        assert_eq!(missing, nothing(Rcode::NXDOMAIN));
    }
}
