//! The registry of error codes against the sources, and `docs/reference/errors.md` written from it.
//!
//! When an entry changes: `ICN_GOLDEN=write cargo test -p icn-daemon --test codes`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use icn_daemon::control::codes::{self, Code};

/// `ICN-E` and four digits.
const CODE_BYTES: usize = 9;
const SENTENCE_WORDS_MAX: usize = 25;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_in_registry(path: &Path) -> bool {
    path.ends_with("control/codes.rs") || path.parent().is_some_and(|dir| dir.ends_with("codes"))
}

/// Sources, scripts and docs of the repository, each with its text.
fn texts() -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    let mut directories = vec![repository()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") || name.ends_with(".md") || name.ends_with(".py") {
                let text = fs::read_to_string(&path).expect("a text");
                texts.push((path, text));
            }
        }
    }
    assert!(texts.len() > 100, "the repository is read");
    texts
}

/// The error codes that a text names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("ICN-E").filter_map(|(at, _)| {
        let code = text.get(at..at + CODE_BYTES)?;
        code.bytes().rev().take(4).all(|byte| byte.is_ascii_digit()).then_some(code)
    })
}

#[test]
fn codes_are_unique_ascending_and_never_reused() {
    let codes: Vec<_> = codes::all().map(|entry| entry.code).collect();
    assert!(codes.is_sorted_by(|one, next| one < next), "{codes:?}");
    for code in &codes {
        assert_eq!(named(code).next(), Some(*code), "the form of {code}");
        assert_eq!(codes::find(code).map(|entry| entry.code), Some(*code));
        assert!(!codes::RETIRED.contains(code), "{code} had another meaning");
    }
    assert_eq!(codes::find("ICN-E"), None);
}

#[test]
fn every_code_named_anywhere_is_in_the_registry() {
    for (path, text) in texts().iter().filter(|(path, _)| !is_in_registry(path)) {
        for code in named(text) {
            let known = codes::find(code).is_some() || codes::RETIRED.contains(&code);
            assert!(known, "{code} in {}", path.display());
        }
    }
}

#[test]
fn every_registered_code_is_used() {
    let texts = texts();
    let sources = repository().join("daemon/src");
    let (registry, others): (Vec<_>, Vec<_>) = texts
        .iter()
        .filter(|(path, _)| path.starts_with(&sources))
        .partition(|(path, _)| is_in_registry(path));
    let used: BTreeSet<&str> = others
        .iter()
        .flat_map(|(_, text)| text.split("codes::").skip(1))
        .filter_map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next())
        .collect();
    let mut entries = 0;
    for (_, text) in registry {
        for (name, _) in text.lines().filter_map(|line| line.trim().split_once(": \"ICN-E")) {
            assert!(used.contains(name), "codes::{name} is not used");
            entries += 1;
        }
    }
    assert_eq!(entries, codes::all().count());
}

#[test]
fn every_code_explains_what_why_and_what_to_do_in_short_sentences() {
    for Code { code, exit, what, why, advice } in codes::all() {
        assert_ne!(*exit, icn_daemon::exit::OK, "{code}");
        for text in [what, why, advice] {
            assert!(text.len() > 10, "{code}: {text:?}");
            for sentence in text.split(". ") {
                let words = sentence.split_whitespace().count();
                assert!(words <= SENTENCE_WORDS_MAX, "{code}: {words} words: {sentence}");
            }
        }
        assert!(what.ends_with('.') && why.ends_with('.'), "{code}");
    }
}

#[test]
fn the_error_reference_matches_the_registry() {
    let path = repository().join("docs/reference/errors.md");
    let reference = reference();
    if std::env::var("ICN_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &reference).expect("write");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference, "errors.md is not up to date; see the head of this file");
}

fn reference() -> String {
    const HEAD: &str = "\
# Error codes

A command that fails prints what happened and why, what to do, and its code with the exit code:

```text
There is no topic \"coop\" here.
  List the topics: icnctl topic list. Join one: icnctl topic join ID
  ICN-E0302 · exit 1
```

With `--json` the same is `{\"ok\":false,\"error\":{\"code\":…,\"message\":…,\"advice\":…,\"exit\":…}}`.
A code keeps its meaning in all later versions.
This page is written from the registry in `daemon/src/control/codes`; a test compares them.
";
    let mut page = HEAD.to_owned();
    for Code { code, exit, what, why, advice } in codes::all() {
        let advice = advice.replace("\n  ", "\n");
        let (advice, commands) = advice.split_once('\n').unwrap_or((&advice, ""));
        page.push_str(&format!(
            "\n## {code}\n\n{what} Exit code {exit}.\n\n- **Why:** {why}\n- **What to do:** {advice}\n"
        ));
        for command in commands.lines() {
            page.push_str(&format!("  - `{command}`\n"));
        }
    }
    page
}
