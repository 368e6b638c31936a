//! The check of the glossary: each term has one row.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::Tree;

const FILE: &str = "docs/GLOSSARY.md";

/// Terms with a second row.
#[must_use]
pub fn double_terms(tree: &Tree) -> Vec<Finding> {
    let mut terms = BTreeSet::new();
    let mut findings = Vec::new();
    for (index, line) in tree.text(FILE).unwrap_or_default().lines().enumerate() {
        let Some((term, _)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        if term != "term" && !terms.insert(term) {
            let rule = "has a row above; give one thing one term, and one term one row";
            findings.push(Finding::new(FILE, index + 1, format!("\"{term}\""), rule));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_row_is_found() {
        let table = "| term | meaning |\n|---|---|\n| a | x |\n| b | y |\n";
        let both = format!("{table}\n{table}");
        let findings = double_terms(&Tree::of(&[(FILE, &both)]));
        let lines: Vec<_> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [8, 9]);
    }
}
