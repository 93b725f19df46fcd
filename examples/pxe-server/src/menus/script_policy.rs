//! What iPXE is told to load where nothing is configured for it.

use pxe_dhcp::{ArchPolicy, Boot, BootDecision, BootPolicy, BootRequest, Explanation, Stage};

use super::wanted::SCRIPT;
use crate::config::Config;

/// A policy by architecture that does not let iPXE load itself again: where that is the file of its
/// architecture, it gets the script that is made of pxelinux's menu.
#[derive(Debug)]
pub(crate) struct ScriptPolicy {
    policy: ArchPolicy,
    script: Option<ArchPolicy>,
}

impl ScriptPolicy {
    /// This policy, and the script after it, unless another one is configured. `script` holds all
    /// but what is booted.
    pub(crate) fn new(config: &Config, policy: ArchPolicy, script: ArchPolicy) -> Self {
        let script = script_file(config).map(|file| script.with_ipxe(file));
        Self { policy, script }
    }
}

/// The file or URL of the script that is made, if one is.
fn script_file(config: &Config) -> Option<String> {
    let has_own = config.boot.as_ref().is_some_and(|boot| boot.ipxe.is_some());
    if !config.menu.convert || has_own {
        return None;
    }
    let http = config.http.iter().flat_map(|http| &http.listen);
    // Port 0 is another one each time, and not known before it is bound.
    let http = http.filter(|listen| listen.port() != 0 && listen.is_ipv4());
    if let Some(listen) = http.min_by_key(|listen| listen.port() != 80) {
        let host = match (config.menu.server, listen.ip()) {
            (Some(server), _) => server.to_string(),
            (None, ip) if ip.is_unspecified() => "{server}".to_owned(),
            (None, ip) => ip.to_string(),
        };
        return Some(match listen.port() {
            80 => format!("http://{host}/{SCRIPT}"),
            port => format!("http://{host}:{port}/{SCRIPT}"),
        });
    }
    config.tftp.as_ref().map(|_| SCRIPT.to_owned())
}

impl ScriptPolicy {
    /// What the firmware of this machine is told.
    fn as_firmware(&self, mut request: BootRequest<'_>) -> Boot {
        let by_http = request
            .architectures
            .first()
            .is_some_and(|arch| arch.is_http());
        request.stage = if by_http { Stage::Http } else { Stage::Pxe };
        (request.user_classes, request.ipxe_features) = (&[], None);
        self.policy.decide(&request).boot
    }
}

impl BootPolicy for ScriptPolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let decision = self.policy.decide(request);
        let Some(script) = &self.script else {
            return decision;
        };
        // A ROM that is iPXE boots what other ROMs do; one that was loaded cannot do that again.
        if request.stage != Stage::Ipxe || decision.boot == self.as_firmware(*request) {
            return decision;
        }
        let mut script = script.decide(request);
        if script.boot == Boot::Nothing {
            return decision;
        }
        let mut explanation = Explanation::new();
        for tried in decision.explanation.tried() {
            explanation.failed(tried.rule.clone(), tried.reason.clone());
        }
        let reason = "iPXE has no script of its own: it gets pxelinux's menu";
        explanation.matched("menu.convert", reason);
        script.explanation = explanation;
        script
    }
}
