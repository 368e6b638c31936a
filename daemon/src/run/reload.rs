//! SIGHUP: reads the configuration again, and applies what needs no restart.

use icn_net::Target;
use icn_wal::FsDisk;

use crate::config::{Config, Flags};
use crate::output;
use crate::shell::Shell;
use crate::shell::peers::{self, Transport};

/// Applies the present configuration to a running node. What needs a restart stays in `running` as it is.
pub(super) fn reload(
    flags: &Flags,
    running: &mut Config,
    shell: &Shell<FsDisk>,
    transport: &Transport,
) {
    let new = match Config::load(flags) {
        Ok(new) => new,
        Err(failure) => {
            tracing::error!(
                "Received SIGHUP, and nothing was changed. {} Check it: icnd check-config",
                failure.message
            );
            return;
        }
    };
    let file = new.file.display();
    if !new.has_file {
        tracing::warn!(
            "Received SIGHUP, and nothing was changed: there is no configuration file {file}"
        );
        return;
    }
    for key in running.needs_restart(&new) {
        tracing::warn!("`{key}` in {file} has changed and needs a restart of icnd");
    }
    let mut changes = Vec::new();
    if new.log != running.log {
        changes.push(format!("the log level is {}", new.log));
    }
    if new.policy != running.policy {
        changes.push("[snapshot] is changed".to_owned());
    }
    changes.extend(change_targets(&running.peers, &new.peers, transport));
    shell.reconfigure(new.policy, new.peers.iter().filter_map(Target::did).collect());
    let changes =
        if changes.is_empty() { "nothing to change".to_owned() } else { changes.join("; ") };
    if new.log > running.log {
        output::set_level(new.log);
    }
    tracing::info!("Received SIGHUP, read {file}: {changes}");
    output::set_level(new.log);
    let Config { log, policy, peers, .. } = new;
    (running.log, running.policy, running.peers) = (log, policy, peers);
}

/// Dials the new targets only. Returns what that changes, in words.
fn change_targets(old: &[Target], new: &[Target], transport: &Transport) -> Vec<String> {
    let mut changes = Vec::new();
    for removed in old.iter().filter(|target| !new.contains(target)) {
        transport.forget(removed);
        changes.push(format!("{removed} is not dialled any more"));
    }
    for added in new.iter().filter(|target| !old.contains(target)) {
        if peers::dial(transport, added) {
            changes.push(format!("{added} is dialled"));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::peers::tests::peers;

    #[tokio::test]
    async fn a_removed_peer_is_no_target_any_more_and_the_others_stay() {
        let node = peers(1);
        let transport = node.transport();
        let [a, b, c] = [1, 2, 3].map(|port| Target::new(None, ([127, 0, 0, 1], port).into()));
        change_targets(&[], &[a.clone(), b.clone()], &transport);
        let changes = change_targets(&[a.clone(), b.clone()], &[b.clone(), c.clone()], &transport);
        let expected = [format!("{a} is not dialled any more"), format!("{c} is dialled")];
        assert_eq!(changes, expected);
        let mut targets: Vec<_> =
            transport.targets().into_iter().map(|status| status.target.to_string()).collect();
        targets.sort_unstable();
        assert_eq!(targets, [b.to_string(), c.to_string()]);
    }
}
