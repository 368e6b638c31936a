//! The check of style: no text names a machine of its making or a registry's host.

use crate::finding::Finding;
use crate::tree::Tree;

/// In two parts each, so that this file has none of them.
const TRACES: [(&str, &str); 8] = [
    ("static.", "crates.io"),
    ("index.", "crates.io"),
    ("pypi", ".org"),
    ("registry.", "npmjs.org"),
    ("/work", "/main"),
    ("/work", "/wt"),
    ("/root", "/"),
    ("/tmp/", "bash_jobs"),
];

/// Names of hosts and absolute paths that mean nothing to a reader elsewhere.
#[must_use]
pub fn machine_traces(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (index, line) in text.lines().enumerate() {
            for trace in TRACES.map(|(head, tail)| format!("{head}{tail}")) {
                if line.contains(&trace) {
                    let rule = "is a host or a path that other machines do not have; leave it out";
                    findings.push(Finding::new(path, index + 1, format!("\"{trace}\""), rule));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_found_and_the_registry_in_a_lock_file_is_not() {
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        let planted = ["a\nsee https://pypi", ".org/x\n"].concat();
        let tree = Tree::of(&[("Cargo.lock", lock), ("a.md", &planted)]);
        let findings = machine_traces(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }
}
