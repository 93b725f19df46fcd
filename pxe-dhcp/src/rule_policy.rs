//! A table of rules: who boots what.

use core::net::Ipv4Addr;
use std::borrow::Cow;

use crate::boot_file::{self, But, Reload};
use crate::{
    ArchPolicy, Boot, BootDecision, BootPolicy, BootRequest, Condition, DhcpOption, Explanation,
    Stage,
};

/// So many rules are explained, unless a policy is told otherwise: each reason costs time and
/// memory at each message, and a list of hundreds tells nobody anything.
const REASONS_MAX: usize = 64;

/// One line of a [`RulePolicy`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// By what an explanation calls it.
    pub name: String,
    /// For which clients it is.
    pub when: Condition,
    /// What they boot. `None` leaves that to the rules after it; what else this rule says holds
    /// before what those say.
    pub boot: Option<Boot>,
    /// The boot server (`siaddr`); `None` is this server.
    pub next_server: Option<Ipv4Addr>,
    /// The boot server's name (`sname` and option 66); `None` is its address as text.
    pub server_name: Option<String>,
    /// Further options, asked for or not.
    pub options: Vec<DhcpOption>,
}

impl Rule {
    /// A rule for these clients that says nothing yet.
    pub fn new(name: impl Into<String>, when: Condition) -> Self {
        Self {
            name: name.into(),
            when,
            boot: None,
            next_server: None,
            server_name: None,
            options: Vec::new(),
        }
    }

    /// The same, with what they boot.
    #[must_use]
    pub fn with_boot(mut self, boot: Boot) -> Self {
        self.boot = Some(boot);
        self
    }

    /// The same, with a file or URL; a value with `://` in it is a URL. The placeholders of
    /// [`PLACEHOLDERS`](crate::PLACEHOLDERS) are filled in.
    #[must_use]
    pub fn with_file(self, file: impl Into<String>) -> Self {
        let file = file.into();
        self.with_boot(match boot_file::is_url(&file) {
            true => Boot::Url(file),
            false => Boot::File(file),
        })
    }

    /// The same, with another boot server than ourselves.
    #[must_use]
    pub const fn with_next_server(mut self, next_server: Ipv4Addr) -> Self {
        self.next_server = Some(next_server);
        self
    }

    /// The same, with the boot server's name.
    #[must_use]
    pub fn with_server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// The same, with a further option.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }
}

/// Rules in their order, and a policy for the clients that none of them decides about.
///
/// - The first rule that matches decides; its boot may be [`Boot::Nothing`] or [`Boot::Denied`].
/// - A rule does not match a client that can do nothing with its answer: a file, for firmware that
///   boots by HTTP; a URL, for firmware that boots by TFTP; a file with a placeholder that the
///   client does not fill; and iPXE itself, for iPXE, which would load itself for ever. (A rule
///   that matches an iPXE only because it *lacks* a feature may give it another iPXE, which should
///   have it.)
/// - An operating system is told nothing, but is denied what its machine is denied. It does not
///   say what firmware says, its architecture above all; so a rule about that is undecided, and a
///   denial after it does not count.
///
/// ```
/// use pxe_dhcp::wire::IpxeFeature;
/// use pxe_dhcp::{ArchPolicy, Boot, BootPolicy, BootRequest, ClientArch, Condition};
/// use pxe_dhcp::{Rule, RulePolicy, Stage};
///
/// let policy = RulePolicy::new()
///     .with_rule(
///         Rule::new("printers", Condition::Mac("00:11:22".parse()?)).with_boot(Boot::Denied),
///     )
///     .with_rule(
///         Rule::new("ipxe with http", Condition::IpxeFeature(IpxeFeature::HTTP))
///             .with_file("http://{server}/boot.ipxe?mac={mac}"),
///     )
///     .otherwise(ArchPolicy::syslinux());
///
/// let request = BootRequest::new([192, 168, 150, 1].into())
///     .with_mac("52:54:00:15:00:01".parse()?)
///     .with_architectures(&[ClientArch::UEFI_X64]);
/// let decision = policy.decide(&request);
/// assert_eq!(decision.boot, Boot::File("efi64/syslinux.efi".into()));
/// assert_eq!(
///     decision.explanation.to_string(),
///     "- printers: mac is 52:54:00:15:00:01, not 00:11:22:*\n\
///      - ipxe with http: no ipxe features\n\
///      - arch uefi-x86: the client says uefi-x64\n\
///      + arch uefi-x64: the client says uefi-x64"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RulePolicy {
    rules: Vec<Rule>,
    reasons_max: usize,
    otherwise: Box<dyn BootPolicy>,
}

impl RulePolicy {
    /// No rules, and nothing to boot otherwise.
    pub fn new() -> Self {
        Self {
            rules: Vec::new(),
            reasons_max: REASONS_MAX,
            otherwise: Box::new(ArchPolicy::new()),
        }
    }

    /// The same, with one more rule after those that there are.
    #[must_use]
    pub fn with_rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The same, with this policy for the clients that no rule decides about.
    #[must_use]
    pub fn otherwise(mut self, policy: impl BootPolicy) -> Self {
        self.otherwise = Box::new(policy);
        self
    }

    /// The same, with explanations that name so many rules which do not match, and count the rest.
    /// Default: 64.
    #[must_use]
    pub const fn with_reasons_max(mut self, reasons_max: usize) -> Self {
        self.reasons_max = reasons_max;
        self
    }

    /// The rules, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Default for RulePolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl BootPolicy for RulePolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let mut trial = Trial {
            reasons_left: self.reasons_max,
            ..Trial::default()
        };
        for rule in &self.rules {
            if let Some(decision) = trial.of(rule, request) {
                return decision;
            }
        }
        trial.ended(self.otherwise.decide(request), request)
    }
}

/// The rules tried so far.
#[derive(Default)]
struct Trial {
    explanation: Explanation,
    /// How many more rules that do not match are explained, and how many were not.
    reasons_left: usize,
    unexplained: usize,
    /// What rules said that do not decide.
    said: BootDecision,
    /// A rule before might have let this operating system's machine boot.
    may_boot: bool,
}

impl Trial {
    /// The decision, if this rule decides.
    fn of(&mut self, rule: &Rule, request: &BootRequest<'_>) -> Option<BootDecision> {
        let matched = match request.stage {
            Stage::System => rule.when.of_machine(request),
            _ => Some(rule.when.matches(request)),
        };
        if matched.is_none() {
            self.may_boot |= !matches!(rule.boot, None | Some(Boot::Denied));
        }
        if matched != Some(true) {
            self.pass_over(rule, request, matched);
            return None;
        }
        self.count_unexplained();
        let (name, reason) = (rule.name.clone(), rule.when.check(request).reason);
        let Some(boot) = &rule.boot else {
            self.explanation.applied(name, reason);
            self.said.add(rule);
            return None;
        };
        let boot = match self.told(boot, rule, request) {
            Ok(boot) => boot,
            Err(obstacle) => {
                self.explanation
                    .failed(name, But(&reason, &obstacle).to_string());
                return None;
            }
        };
        self.explanation.matched(name, reason);
        let mut decision = core::mem::take(&mut self.said);
        decision.add(rule);
        decision.boot = boot;
        if request.stage == Stage::System {
            // What it may need is told by its subnet, group or class.
            decision.options.clear();
        }
        decision.explanation = core::mem::take(&mut self.explanation);
        Some(decision)
    }

    /// A rule that does not match, or of which that cannot be told.
    fn pass_over(&mut self, rule: &Rule, request: &BootRequest<'_>, matched: Option<bool>) {
        let Some(left) = self.reasons_left.checked_sub(1) else {
            self.unexplained += 1;
            return;
        };
        self.reasons_left = left;
        let reason = rule.when.check(request).reason;
        let reason = match matched {
            Some(_) => reason,
            None => But(&reason, "an operating system does not say all of it")
                .to_string()
                .into(),
        };
        self.explanation.failed(rule.name.clone(), reason);
    }

    /// Names those that were passed over without a reason.
    fn count_unexplained(&mut self) {
        let (rule, reason) = match core::mem::take(&mut self.unexplained) {
            0 => return,
            1 => ("another rule".to_owned(), "it does not match"),
            count => (format!("{count} other rules"), "none of them matches"),
        };
        self.explanation.failed(rule, reason);
    }

    fn told(
        &self,
        boot: &Boot,
        rule: &Rule,
        request: &BootRequest<'_>,
    ) -> Result<Boot, Cow<'static, str>> {
        match (boot, request.stage) {
            (Boot::Denied, Stage::System) if self.may_boot => {
                Err("a rule before it may have let this machine boot".into())
            }
            (Boot::Denied, _) => Ok(Boot::Denied),
            (_, Stage::System) => Ok(Boot::Nothing),
            _ => {
                let reload = match rule.when.is_for_what_ipxe_lacks(request) {
                    true => Reload::Upgrade,
                    false => Reload::Never,
                };
                boot_file::told(boot, request, reload)
            }
        }
    }

    /// No rule decided: what the policy after them says.
    fn ended(mut self, otherwise: BootDecision, request: &BootRequest<'_>) -> BootDecision {
        self.count_unexplained();
        self.explanation.append(otherwise.explanation);
        let mut decision = self.said;
        decision.boot = otherwise.boot;
        decision.next_server = decision.next_server.or(otherwise.next_server);
        decision.server_name = decision.server_name.or(otherwise.server_name);
        decision.add_options(&otherwise.options);
        if request.stage == Stage::System {
            decision.options.clear();
        }
        decision.explanation = self.explanation;
        decision
    }
}

impl BootDecision {
    /// Adds what a rule says, but for what was said before.
    fn add(&mut self, rule: &Rule) {
        self.next_server = self.next_server.or(rule.next_server);
        if self.server_name.is_none() {
            self.server_name.clone_from(&rule.server_name);
        }
        self.add_options(&rule.options);
    }

    fn add_options(&mut self, options: &[DhcpOption]) {
        for option in options {
            if self.option(option.code).is_none() {
                self.options.push(option.clone());
            }
        }
    }
}
