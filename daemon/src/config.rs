//! The configuration: flags before environment before file before default, checked once.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use icn_net::{BadTarget, Target, Timing};
use icn_snapshot::{Due, Policy, Retention};
use serde::Deserialize;

use crate::control::codes;
use crate::data::access;
use crate::failure::Failure;
use crate::output::LogLevel;
use crate::text::command::name_directory;

/// The name of the configuration file in the data directory.
const FILE_NAME: &str = "icn.toml";

/// The allowed range of `silence_seconds`.
const SILENCE_SECONDS: RangeInclusive<u64> = 3..=600;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// The restore window takes at most one part in so many of its file system.
const WINDOW_SHARE: u64 = 10;

/// The flags of `icnd`.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The data directory of the node [default: ~/.icn]
    #[arg(long, env = "ICN_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// The address that serves health, metrics and the first page [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", global = true)]
    pub http: Option<SocketAddr>,
    /// The UDP address where peers reach the node [default: 0.0.0.0:7777]
    #[arg(long, env = "ICN_LISTEN", value_name = "ADDR", global = true)]
    pub listen: Option<SocketAddr>,
    /// A peer to stay connected to; with a DID, only that node may answer; may be given several times
    #[arg(long = "peer", value_name = "[DID@]HOST:PORT", global = true)]
    pub peers: Vec<Target>,
    /// Do not search the local network for peers, and do not be found there
    #[arg(long, env = "ICN_NO_MDNS", value_parser = FalseyValueParser::new(), global = true)]
    pub no_mdns: bool,
    /// The configuration file [default: icn.toml in the data directory]
    #[arg(long, env = "ICN_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The least severe lines that the log shows [default: info]
    #[arg(long, env = "ICN_LOG", value_enum, value_name = "LEVEL", global = true)]
    pub log: Option<LogLevel>,
    /// Start only a node that exists, and make no new one; for services, whose disk may not be mounted
    #[arg(long, env = "ICN_MUST_EXIST", value_parser = FalseyValueParser::new(), global = true)]
    pub must_exist: bool,
    /// Accept NFS, SMB, 9p and FUSE, where acknowledged messages may be lost
    #[arg(long, global = true)]
    pub unsafe_fs: bool,
}

/// The keys of `icn.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    http: Option<SocketAddr>,
    listen: Option<SocketAddr>,
    #[serde(default)]
    peers: Vec<String>,
    mdns: Option<bool>,
    must_exist: Option<bool>,
    silence_seconds: Option<u64>,
    network: Option<String>,
    log: Option<LogLevel>,
    #[serde(default)]
    snapshot: SnapshotSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotSection {
    interval_seconds: Option<u64>,
    records: Option<u64>,
    log_mib: Option<u64>,
    keep: Option<usize>,
    keep_hours: Option<u64>,
    keep_mib: Option<u64>,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Whether the data directory is the default one.
    pub usual_directory: bool,
    /// Whether a start without a node is refused, instead of making one.
    pub must_exist: bool,
    /// Whether an unsuitable file system is accepted.
    pub unsafe_fs: bool,
    /// The address of HTTP. Default 127.0.0.1:8080; if that port is taken and was not configured, any
    /// free one.
    pub http: SocketAddr,
    /// Whether `http` was configured.
    pub http_explicit: bool,
    /// The UDP address for peers. Default 0.0.0.0:7777; if that port is taken and was not configured, any
    /// free one.
    pub listen: SocketAddr,
    /// Whether `listen` was configured.
    pub listen_explicit: bool,
    /// The peers to stay connected to.
    pub peers: Vec<Target>,
    /// Whether discovery on the local network is on.
    pub mdns: bool,
    /// The timeouts of links.
    pub timing: Timing,
    /// The network, as the hash of its name. Default `icn`.
    pub network: [u8; 32],
    /// When a snapshot is due, and which snapshots stay.
    pub policy: Policy,
    /// The least severe lines that the log shows.
    pub log: LogLevel,
    /// The configuration file.
    pub file: PathBuf,
    /// Whether that file exists.
    pub has_file: bool,
}

/// Has texts for the operator name the `given` data directory, unless it is the usual one.
pub fn name_in_texts(given: Option<&Path>) {
    if let Some(given) = given.filter(|given| !is_usual(Some(given))) {
        name_directory(given);
    }
}

impl Config {
    /// Merges flags, file and defaults.
    ///
    /// # Errors
    /// `ICN-E0110`, with the place in the file, for an invalid value.
    pub fn load(flags: &Flags) -> Result<Self, Failure> {
        let data_dir = data_dir(flags.data_dir.as_deref())?;
        let path = flags.config.clone().unwrap_or_else(|| data_dir.join(FILE_NAME));
        let text = std::fs::read_to_string(&path);
        let has_file = text.is_ok();
        let file: File = match text {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| invalid(&path, &error.to_string()))?
            }
            // An unusable data directory is reported when it is opened.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                    && flags.config.is_none() =>
            {
                File::default()
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(access::denied(&path, &data_dir));
            }
            Err(error) => return Err(invalid(&path, &error.to_string())),
        };
        let mut due = Due::default();
        let mut retention = Retention::default();
        let SnapshotSection { interval_seconds, records, log_mib, keep, keep_hours, keep_mib } =
            file.snapshot;
        retention.keep = keep.unwrap_or(retention.keep);
        retention.window_ms =
            keep_hours.map_or(retention.window_ms, |hours| hours.saturating_mul(HOUR_MS));
        retention.window_bytes =
            keep_mib.map_or_else(|| window_bytes(&data_dir), |mib| mib.saturating_mul(1 << 20));
        if retention.keep < Retention::KEEP_MIN {
            let why = format!(
                "[snapshot] keep is {}; with fewer than {} a damaged one would leave none to start from",
                retention.keep,
                Retention::KEEP_MIN
            );
            return Err(invalid(&path, &why));
        }
        due.age_ms = interval_seconds.map_or(due.age_ms, |seconds| seconds.saturating_mul(1000));
        due.records = records.unwrap_or(due.records);
        due.log_bytes = log_mib.map_or(due.log_bytes, |mib| mib.saturating_mul(1 << 20));
        if due.age_ms == 0 || due.records == 0 || due.log_bytes == 0 {
            return Err(invalid(&path, "a limit in [snapshot] is 0; remove it for the default"));
        }
        let asked = flags.http.or(file.http);
        let http = asked.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        if !http.ip().is_loopback() {
            return Err(invalid(
                &path,
                "http must be a loopback address: it has no access control",
            ));
        }
        let network = file.network.as_deref().unwrap_or("icn");
        let listen = flags.listen.or(file.listen);
        let mut peers = flags.peers.clone();
        for peer in &file.peers {
            let target = peer.parse();
            peers.push(target.map_err(|error: BadTarget| {
                invalid(&path, &format!("peers: {peer:?} is not a peer: {error}"))
            })?);
        }
        Ok(Self {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 7777))),
            listen_explicit: listen.is_some(),
            peers,
            timing: timing(file.silence_seconds).map_err(|why| invalid(&path, &why))?,
            mdns: !flags.no_mdns && file.mdns.unwrap_or(true),
            usual_directory: is_usual(flags.data_dir.as_deref()),
            must_exist: flags.must_exist || file.must_exist.unwrap_or(false),
            data_dir,
            unsafe_fs: flags.unsafe_fs,
            http,
            http_explicit: asked.is_some(),
            network: icn_net::network_id(network),
            policy: Policy { due, retention },
            log: flags.log.or(file.log).unwrap_or_default(),
            file: path,
            has_file,
        })
    }

    /// The keys in which `new` differs and that a running node cannot change.
    pub(crate) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let keys = [
            ("http", self.http != new.http),
            ("listen", self.listen != new.listen),
            ("mdns", self.mdns != new.mdns),
            ("silence_seconds", self.timing.idle != new.timing.idle),
            ("network", self.network != new.network),
        ];
        keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

/// What the restore window may take by default: a share of the file system that holds `directory`, or will
/// hold it.
fn window_bytes(directory: &Path) -> u64 {
    let most = Retention::default().window_bytes;
    let Ok(directory) = std::path::absolute(directory) else { return most };
    // A new node has no directory yet.
    let file_system = directory.ancestors().find_map(|path| rustix::fs::statvfs(path).ok());
    match file_system.map_or(0, |found| found.f_frsize.saturating_mul(found.f_blocks)) {
        0 => most,
        bytes => (bytes / WINDOW_SHARE).min(most),
    }
}

/// A silent peer is probed three times before its link is down.
fn timing(silence_seconds: Option<u64>) -> Result<Timing, String> {
    let usual = Timing::default();
    match silence_seconds {
        None => Ok(usual),
        Some(seconds) if SILENCE_SECONDS.contains(&seconds) => {
            let idle = Duration::from_secs(seconds);
            Ok(Timing { idle, keep_alive: idle / 3, ..usual })
        }
        Some(seconds) => {
            let least = SILENCE_SECONDS.start();
            let most = SILENCE_SECONDS.end();
            Err(format!("silence_seconds is {seconds}; it must be {least} to {most}"))
        }
    }
}

/// The data directory both binaries use.
///
/// # Errors
/// `ICN-E0111` without a configured directory and without a home directory.
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match (given, std::env::home_dir()) {
        (Some(given), _) => Ok(given.to_path_buf()),
        (None, Some(home)) => Ok(home.join(".icn")),
        (None, None) => {
            Err(Failure::new(codes::NO_HOME, "There is no home directory to keep the node in."))
        }
    }
}

/// Whether both binaries use the `given` directory by themselves. The environment applies to both.
pub(crate) fn is_usual(given: Option<&Path>) -> bool {
    given.is_none_or(|given| std::env::var_os("ICN_DATA_DIR").is_some_and(|usual| given == usual))
}

fn invalid(path: &Path, why: &str) -> Failure {
    Failure::new(
        codes::INVALID_CONFIGURATION,
        format!("The configuration {} is invalid: {}", path.display(), why.trim_end()),
    )
}
