//! Whether the operator sees a check: in status, health, metrics and the log.

use serde_json::Value;

use super::{Daemon, House, until};

/// A check of a running node.
pub(crate) struct Watched<'a> {
    pub(crate) house: &'a House,
    pub(crate) daemon: &'a Daemon,
    pub(crate) name: &'static str,
}

impl Watched<'_> {
    /// Waits until the check warns with this word in every place.
    pub(crate) fn warns(&self, word: &str) {
        self.is_seen(word);
        until("a line of the log", || {
            let (begun, over) = self.logged();
            (begun == over + 1).then_some(())
        });
    }

    /// Waits until the check warns with this word in every place but the log.
    pub(crate) fn is_seen(&self, word: &str) {
        until(&format!("a warning of {} about {word}", self.name), || {
            let check = self.in_health();
            let text = check["text"].as_str().expect("a text");
            (check["level"] == "warn" && text.contains(word)).then_some(())
        });
        let status = self.house.get(&["status"]);
        let of_status = self.find(&status["checks"]);
        assert_eq!(of_status["level"], "warn", "{of_status}");
        let shown = self.house.icnctl(&["status"]).output().expect("run icnctl").stdout;
        let shown = String::from_utf8(shown).expect("UTF-8");
        assert!(shown.contains(word), "{word} in {shown}");
        assert_eq!(self.metric(), 1.0);
    }

    /// Waits until the check is well again in every place.
    pub(crate) fn is_over(&self) {
        self.is_well_again();
        until("a line of the log", || {
            let (begun, over) = self.logged();
            (begun > 0 && begun == over).then_some(())
        });
    }

    /// Waits until the check is well again in every place but the log.
    pub(crate) fn is_well_again(&self) {
        until(&format!("the end of the warning of {}", self.name), || {
            (self.in_health()["level"] == "ok").then_some(())
        });
        assert_eq!(self.find(&self.house.get(&["status"])["checks"])["level"], "ok");
        assert_eq!(self.metric(), 0.0);
    }

    /// How often the log says that the warning has begun, and that it is over.
    fn logged(&self) -> (usize, usize) {
        let log = self.daemon.log();
        let lines = |level: &str, text: &str| {
            let text = format!("{text}{}: ", self.name);
            log.lines().filter(|line| line.contains(level) && line.contains(&text)).count()
        };
        (lines(" WARN ", " "), lines(" INFO ", "Over: "))
    }

    fn in_health(&self) -> Value {
        let (_, text) = self.daemon.http("/healthz", "localhost");
        let body = text.lines().find(|line| line.starts_with('{')).expect("JSON");
        let health: Value = serde_json::from_str(body).expect("JSON");
        self.find(&health["checks"])
    }

    fn find(&self, checks: &Value) -> Value {
        let mut all = checks.as_array().expect("checks").iter();
        all.find(|check| check["name"] == self.name).expect("the check").clone()
    }

    fn metric(&self) -> f64 {
        let series = format!("icn_health_check{{check=\"{}\"}} ", self.name);
        let (_, text) = self.daemon.http("/metrics", "localhost");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.expect("the metric").trim().parse().expect("a number")
    }
}
