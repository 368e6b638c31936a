//! The check of words: plain terms and short sentences in what people read.

use crate::finding::Finding;
use crate::lexicon::uses;
use crate::passage::Passage;
use crate::sentence::sentences;
use crate::source::Source;
use crate::tree::Tree;

/// The most words of a sentence.
const SENTENCE_WORDS_MAX: usize = 25;

/// Findings in README, CHANGELOG, `docs/`, and the doc comments and literals of the sources.
///
/// Literals of one word are keys, not prose. Tests are not read.
#[must_use]
pub fn words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| is_document(path)) {
        for passage in Passage::of_markdown(text, 1) {
            check(path, &passage, &mut findings);
        }
    }
    for (path, text) in tree.sources() {
        let source = Source::of(text);
        for (doc, line) in docs(text).iter().filter(|(_, line)| !source.is_test(*line)) {
            for passage in Passage::of_markdown(doc, *line) {
                check(path, &passage, &mut findings);
            }
        }
        for (text, line) in source.literals().iter().filter(|(text, _)| text.contains(' ')) {
            check(path, &Passage::of_literal(text, *line), &mut findings);
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The Markdown of each run of `///` or `//!` lines, with the line on which it begins.
fn docs(text: &str) -> Vec<(String, usize)> {
    let mut docs = Vec::<(String, usize)>::new();
    let mut open = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["///", "//!"].into_iter().find(|&marker| line.starts_with(marker));
        if let Some(marker) = marker {
            if open != Some(marker) {
                docs.push((String::new(), index + 1));
            }
            if let Some((markdown, _)) = docs.last_mut() {
                *markdown += line.trim_start_matches(marker);
                markdown.push('\n');
            }
        }
        open = marker;
    }
    docs
}

fn is_document(path: &str) -> bool {
    let root = ["README.md", "CHANGELOG.md"].contains(&path);
    root || (path.starts_with("docs/") && path.ends_with(".md"))
}

fn check(file: &str, passage: &Passage, findings: &mut Vec<Finding>) {
    for used in uses(passage) {
        let start = used.start.saturating_sub(24);
        let end = passage.chars.len().min(used.end + 24);
        let what = format!("\"{}\"", passage.excerpt(used.start, used.end));
        let rule = format!("{} (in \"…{}…\")", used.rule, passage.excerpt(start, end));
        findings.push(Finding::new(file, passage.line(used.start), what, rule));
    }
    if passage.cell {
        return;
    }
    for sentence in sentences(passage).iter().filter(|one| one.words > SENTENCE_WORDS_MAX) {
        let text = passage.excerpt(sentence.start, sentence.end);
        let begin: Vec<_> = text.split(' ').take(8).collect();
        let what = format!("\"{} …\"", begin.join(" "));
        let advice = "split it at 25, or make a list or a table";
        let rule = format!("a sentence of {} words; {advice}", sentence.words);
        findings.push(Finding::new(file, passage.line(sentence.start), what, rule));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<(&str, usize)> {
        findings.iter().map(|finding| (finding.file.as_str(), finding.line)).collect()
    }

    #[test]
    fn each_place_that_people_read_is_checked_and_no_other() {
        let source = "\
//! Nobody
//! here.
/// Beside.
fn f() { g(\"was told\", \"told\") } // behind
#[error(\"{0} is told\")]
struct E;
#[cfg(test)]
mod tests { /// Beside.
fn f() { \"was told\" } }
";
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
            ("README.md", "Fine.\n\nNobody.\n"),
            ("docs/adr/1.md", "# Nobody\n"),
            ("fuzz/README.md", "Nobody.\n"),
            ("a/src/lib.rs", source),
            ("a/tests/a.rs", source),
        ]);
        let expected = [
            ("README.md", 3),
            ("a/src/lib.rs", 1),
            ("a/src/lib.rs", 3),
            ("a/src/lib.rs", 4),
            ("a/src/lib.rs", 5),
            ("docs/adr/1.md", 1),
        ];
        assert_eq!(places(&words(&tree)), expected);
    }

    #[test]
    fn a_sentence_has_at_most_25_words_outside_tables() {
        let long = "word ".repeat(26);
        let fits = "word ".repeat(25);
        let text =
            format!("{fits}\n\n{long}\n\n| {long} |\n|---|\n\n```\n{long}\n```\n\n`{long}`\n");
        let findings = words(&Tree::of(&[("README.md", &text)]));
        assert_eq!(places(&findings), [("README.md", 3)]);
        assert_eq!(
            findings[0].rule,
            "a sentence of 26 words; split it at 25, or make a list or a table"
        );
    }
}
