//! Another configuration for a running server: all of it at once, or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pxe_nfs::Export;

use crate::assemble;
use crate::config::{Config, Problem};
use crate::control::{Answer, Failure};
use crate::decisions::Remembered;
use crate::dns::{Interfaces, Prepared};
use crate::fact::Protocol;
use crate::https::Renewal;
use crate::images::{Images, ImagesSettings};
use crate::menus::Menus;
use crate::nfs;
use crate::running::Handle;
use crate::source::{http_source, tftp_source};
use crate::trees::Trees;

impl Handle {
    /// Reads the configuration file again and puts it in force, or keeps the old one and says why.
    ///
    /// # Errors
    /// The file is not valid, or changes what only a restart can change.
    pub async fn reload(&self) -> Result<Answer, Failure> {
        let file = self.config().file.clone();
        // A large one takes a while, and a disk may hang: boots go on meanwhile.
        let read = tokio::task::spawn_blocking(move || Config::load(&file)).await;
        let read = read.map_err(|error| Failure::new("unavailable", error.to_string()))?;
        let result = match read {
            Ok(config) => self.reload_with(config).await,
            Err(error) => Err(Failure::new("invalid_config", error.to_string())),
        };
        if let Err(failure) = &result {
            // A problem is a line of its own.
            for problem in failure.message.lines() {
                tracing::error!(
                    event = "reload_refused",
                    reason = failure.code.as_str(),
                    "the old configuration stays in force: {problem}"
                );
            }
        }
        result
    }

    /// Puts this configuration in force, or keeps the old one and says why. Running transfers
    /// keep the files that they have open.
    ///
    /// # Errors
    /// It does not suit this machine, or changes what only a restart can change.
    pub async fn reload_with(&self, config: Config) -> Result<Answer, Failure> {
        let _one_at_a_time = self.shared.reloading.lock().await;
        let invalid = |text: String| Failure::new("invalid_config", text);
        let mut warnings = config.warnings.clone();
        if self.shared.given_tree.is_none() {
            let found = config.check_files_and_interfaces();
            warnings.extend(found.map_err(|error| invalid(error.to_string()))?);
        }
        nfs::check_exports(&config)
            .map_err(|problem| Failure::new("restart_needed", config.locate(&problem)))?;
        let fixed = needs_restart(&self.config(), &config, self.has_binl());
        if !fixed.is_empty() {
            let lines: Vec<String> = fixed.iter().map(|problem| config.locate(problem)).collect();
            return Err(Failure::new("restart_needed", lines.join("\n")));
        }
        let located = |problem: Problem| invalid(config.locate(&problem));
        let settings = match &config.images {
            Some(images) => Some(ImagesSettings::of(&config, images).map_err(located)?),
            None => None,
        };
        // The same ones go on, so that what machines have mounted stays.
        let images = match (self.images(), &settings) {
            (Some(images), Some(_)) => Some(images),
            _ => Images::start(&config).map_err(located)?,
        };
        let trees = match &self.shared.given_tree {
            Some(tree) => Trees::given(&config, Arc::clone(tree), images.as_deref()),
            None => Trees::open(&config, images.as_deref()),
        };
        let trees = trees.map_err(located)?;
        let exports = nfs::exports(&config, &trees).map_err(located)?;
        if let Some(dhcp) = &config.dhcp {
            let checked = assemble::dhcp(&config, dhcp).check();
            checked.map_err(|error| invalid(format!("{}: {error}", config.file.display())))?;
        }
        let prepared = self.prepare_dns(&config).await?;
        for warning in &warnings {
            tracing::warn!(event = "config", "{}", config.locate(warning));
        }
        self.swap(config, &trees, images.as_deref(), exports, prepared);
        if let (Some(images), Some(settings)) = (&images, settings) {
            images.set(settings);
        }
        self.set_images(images);
        let certificates = self.shared.certificates.clone();
        // What comes of it is in the log; files on a disk that hangs keep nobody waiting.
        tokio::task::spawn_blocking(move || certificates.iter().for_each(Renewal::look_now));
        let reloads = self.shared.reloads.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::info!(
            event = "reloaded",
            reloads,
            "the new configuration is in force"
        );
        let config = self.config();
        let warnings: Vec<String> = warnings
            .iter()
            .map(|problem| config.locate(problem))
            .collect();
        Ok(Answer::from_iter([
            ("reloads".to_owned(), reloads.into()),
            ("warnings".to_owned(), warnings.into()),
        ]))
    }

    /// Reads the zones of a configuration, or says what is wrong with them.
    async fn prepare_dns(&self, config: &Config) -> Result<Option<Prepared>, Failure> {
        let Some(dns) = &self.shared.dns else {
            return Ok(None);
        };
        let (dns, config) = (Arc::clone(dns), config.clone());
        let now = self.shared.hub.now();
        // Files may be large, and a disk may hang: queries are answered meanwhile.
        let prepared = tokio::task::spawn_blocking(move || {
            dns.prepare(&config, now).map_err(|problems| {
                let lines = problems.iter().map(|problem| config.locate(problem));
                lines.collect::<Vec<_>>().join("\n")
            })
        });
        let prepared = prepared.await;
        let prepared = prepared.map_err(|error| Failure::new("unavailable", error.to_string()))?;
        let prepared = prepared.map_err(|text| Failure::new("invalid_config", text))?;
        Ok(Some(prepared))
    }

    /// Whether the port of boot servers is bound: it stays so when the last menu goes.
    fn has_binl(&self) -> bool {
        let binl_port = self.config().dhcp.as_ref().map(|dhcp| dhcp.binl_port);
        let mut listeners = self.shared.listeners.iter();
        listeners.any(|listener| {
            listener.protocol == Protocol::Dhcp && Some(listener.address.port()) == binl_port
        })
    }

    /// Nothing in here can fail: all was checked before.
    fn swap(
        &self,
        config: Config,
        trees: &Trees,
        images: Option<&Images>,
        exports: Vec<Export>,
        prepared: Option<Prepared>,
    ) {
        let shared = &self.shared;
        // First, so that nobody is judged by the former rules from here on.
        assemble::decide_by(&config, shared.hub.decisions());
        let menus = Menus::new(&config, shared.served.clone(), Arc::clone(&trees.served));
        let library = images.map(|images| Arc::clone(images.library()));
        let menus = Arc::new(menus.with_images(library));
        if let Some(source) = &shared.tftp_source {
            source.swap(tftp_source(&menus, &shared.hub));
        }
        for (source, http) in shared.http_sources.iter().zip(&config.http) {
            source.swap(http_source(&menus, &shared.hub, http));
        }
        if let (Some(handle), Some(tftp)) = (&shared.tftp, &config.tftp) {
            shared.hub.set_quiet_misses(tftp.quiet_misses);
            handle.reconfigure(assemble::tftp(tftp));
        }
        if let (Some(handle), Some(dhcp)) = (&shared.dhcp, &config.dhcp) {
            let policy = Arc::new(Remembered(Arc::clone(&shared.hub)));
            let result = handle.reconfigure(assemble::dhcp(&config, dhcp), policy);
            if let Err(error) = result {
                tracing::error!(event = "reload_failed", "dhcp: {error}");
            }
        }
        if let Some(nfs) = &shared.nfs {
            nfs.set_exports(exports);
        }
        if let (Some(dns), Some(prepared)) = (&shared.dns, prepared) {
            dns.put_in_force(&config, &Interfaces::read(), prepared);
        }
        if let Some(log) = &shared.log {
            log.set_level(config.log.level);
        }
        self.set_config(config);
    }
}

/// Every key that differs and cannot change while the server runs.
fn needs_restart(old: &Config, new: &Config, has_binl: bool) -> Vec<Problem> {
    let mut changed: Vec<String> = Vec::new();
    let mut compare = |key: &str, is_same: bool| {
        if !is_same {
            changed.push(key.to_owned());
        }
    };
    compare("server.user", old.server.user == new.server.user);
    compare("server.control", old.server.control == new.server.control);
    compare("server.grace_seconds", old.server.grace == new.server.grace);
    compare("leases.store", old.leases == new.leases);
    compare("log.format", old.log.format == new.log.format);
    match (&old.dhcp, &new.dhcp) {
        (Some(old), Some(new)) => {
            compare("dhcp.interface", old.interfaces == new.interfaces);
            compare("dhcp.listen", old.listen == new.listen);
            compare("dhcp.port", old.port == new.port);
            compare("dhcp.binl_port", old.binl_port == new.binl_port);
            compare("dhcp.mode", old.mode == new.mode);
        }
        (old, new) => compare("dhcp", old.is_none() && new.is_none()),
    }
    // Only a start binds the port of boot menus.
    compare("boot.rule", has_binl || !assemble::has_menus(new));
    match (&old.tftp, &new.tftp) {
        (Some(old), Some(new)) => compare("tftp.listen", old.listen == new.listen),
        (old, new) => compare("tftp", old.is_none() && new.is_none()),
    }
    match (&old.nfs, &new.nfs) {
        (Some(old), Some(new)) => {
            compare("nfs.listen", old.listen == new.listen);
            compare("nfs.portmap", old.portmap == new.portmap);
            compare("nfs.mount_ports", old.mount_ports == new.mount_ports);
            compare("nfs.handle_key", old.handle_key == new.handle_key);
            compare("nfs.handles", old.handles == new.handles);
            compare(
                "nfs.connections_max",
                old.connections_max == new.connections_max,
            );
            compare(
                "nfs.connections_per_client_max",
                old.connections_per_client_max == new.connections_per_client_max,
            );
            compare(
                "nfs.read_bytes_max",
                old.read_bytes_max == new.read_bytes_max,
            );
        }
        (old, new) => compare("nfs", old.is_none() && new.is_none()),
    }
    match (&old.dns, &new.dns) {
        (Some(old), Some(new)) => compare("dns.listen", old.listen == new.listen),
        (old, new) => compare("dns", old.is_none() && new.is_none()),
    }
    compare("http", old.http.len() == new.http.len());
    for (old, new) in old.http.iter().zip(&new.http) {
        compare(&format!("{}.listen", new.key), old.listen == new.listen);
        let is_same = old.limits == new.limits
            && (old.has_listings, &old.index) == (new.has_listings, &new.index);
        compare(&new.key, is_same);
        compare(&format!("{}.tls", new.key), old.tls == new.tls);
    }
    changed
        .into_iter()
        .map(|key| {
            let message = "it cannot change while the server runs";
            new.problem(&key, message, "restart the server, or change it back")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const OLD: &str = "[tree]\nroot = \"/srv/tftp\"\n[tftp]\nlisten = \"127.0.0.1:69\"\n\
        [[http]]\nlisten = \"127.0.0.1:80\"\n[dhcp]\ninterface = \"br1\"\n\
        [dhcp.subnet]\nnetwork = \"10.0.0.0/24\"\npools = \"10.0.0.9\"\n";

    fn keys(new: &str) -> Vec<String> {
        let parse = |text: &str| Config::parse(text, Path::new("x.toml")).expect("valid");
        let problems = needs_restart(&parse(OLD), &parse(new), false);
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn what_only_a_restart_changes_is_named() {
        assert!(keys(OLD).is_empty());
        for (from, to, key) in [
            ("127.0.0.1:69", "127.0.0.1:70", "tftp.listen"),
            ("127.0.0.1:80", "127.0.0.1:81", "http.listen"),
            ("br1", "br2", "dhcp.interface"),
            ("[dhcp]", "[server]\nuser = \"tftp\"\n[dhcp]", "server.user"),
            (
                "[dhcp]",
                "[server]\ngrace_seconds = 1\n[dhcp]",
                "server.grace_seconds",
            ),
            ("[dhcp]", "[log]\nformat = \"json\"\n[dhcp]", "log.format"),
            ("[dhcp]", "[leases]\nstore = \"x\"\n[dhcp]", "leases.store"),
            ("[[http]]", "[[http]]\nconnections_max = 7", "http"),
            (
                "[dhcp]",
                "[[http]]\nlisten = \"127.0.0.1:81\"\n[dhcp]",
                "http",
            ),
            ("[dhcp]", "[dhcp]\nport = 1067", "dhcp.port"),
            ("[dhcp]", "[dhcp]\nbinl_port = 4012", "dhcp.binl_port"),
            (
                "[dhcp]",
                "[[boot.rule]]\nmenu = { item = [{ label = \"x\", boot = \"x\" }] }\n[dhcp]",
                "boot.rule",
            ),
        ] {
            assert_eq!(keys(&OLD.replace(from, to)), [key]);
        }
    }

    #[test]
    fn all_else_can_change() {
        for (from, to) in [
            ("/srv/tftp", "/srv/other"),
            ("10.0.0.9", "10.0.0.10"),
            (
                "[tftp]",
                "[log]\nlevel = \"debug\"\n[tftp]\nwindowsize_max = 4",
            ),
            ("[[http]]", "[[http]]\nroot = \"/os\""),
            ("[dhcp]", "[boot]\nfiles = { default = \"x\" }\n[dhcp]"),
            ("[dhcp]", "[menu]\nconvert = false\n[dhcp]"),
        ] {
            assert!(keys(&OLD.replace(from, to)).is_empty(), "{to}");
        }
    }
}
