//! The check of named tests: each file and test that the documents name exists.

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::finding::Finding;
use crate::tree::Tree;

const DOCUMENTS: [&str; 4] =
    ["docs/ARCHITECTURE.md", "docs/GUARANTEES.md", "docs/PROTOCOL.md", "docs/TESTING.md"];

/// Files that do not exist, and functions that are not in the file named before them.
#[must_use]
pub fn missing_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        let markdown = tree.text(document).unwrap_or_default();
        let mut files = Vec::new();
        let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter();
        for (event, range) in events {
            match event {
                Event::Start(Tag::TableCell | Tag::Paragraph | Tag::Item) => files.clear(),
                Event::Code(code) => {
                    let line = markdown[..range.start].matches('\n').count() + 1;
                    let rule = check(tree, &code, &mut files);
                    let finding = |rule| Finding::new(document, line, format!("`{code}`"), rule);
                    findings.extend(rule.map(finding));
                }
                _ => {}
            }
        }
    }
    findings
}

/// The rule that a piece of inline code breaks; `files` are those of the last path before it.
fn check<'a>(
    tree: &'a Tree,
    code: &str,
    files: &mut Vec<(&'a str, &'a str)>,
) -> Option<&'static str> {
    let word = code.split(' ').next().unwrap_or_default();
    if is_path(tree, word) {
        *files = tree.files().filter(|(path, _)| is_in(path, word)).collect();
        return files.is_empty().then_some("no such file; name the file as it is now");
    }
    let defined = files.iter().any(|(_, text)| text.contains(&format!("fn {code}(")));
    let known = files.is_empty() || !is_function(code) || defined;
    (!known).then_some("no such function in the file before it; name the test as it is now")
}

fn is_path(tree: &Tree, word: &str) -> bool {
    let in_package = || tree.members().iter().any(|member| word.starts_with(&format!("{member}/")));
    let directory = word.ends_with('/') && word.starts_with(char::is_alphabetic);
    word.ends_with(".rs") || word.ends_with(".py") || directory || in_package()
}

/// Whether `path` is the file `named`, ends with it, or lies in a directory of that name.
fn is_in(path: &str, named: &str) -> bool {
    format!("/{path}/").contains(&format!("/{}/", named.trim_end_matches('/')))
}

/// Whether `code` looks like the name of a test: words of lower case joined by underscores.
fn is_function(code: &str) -> bool {
    code.contains('_')
        && code.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_functions_that_are_gone_are_reported() {
        let markdown = "\
| promise | test |
|---|---|
| `any_name` | `a/tests/x.rs` `is_there`, `is_not`; `y.rs` `in_y`; `not_in_y` |
| two | `a/tests/gone.rs`; `a/tests` `in_y`, `suite/`, `no/`, `other{name}` |

Text with `some_name` and `x.rs run` with `is_gone`.
";
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
            ("docs/GUARANTEES.md", markdown),
            ("docs/PROTOCOL.md", "Text with `y.rs` and `z.rs`."),
            ("a/tests/x.rs", "#[test]\nfn is_there() {}\nfn is_not_quite() {}\n"),
            ("a/tests/suite/y.rs", "fn in_y() {}"),
        ]);
        let missing: Vec<_> = missing_names(&tree).into_iter().map(|f| (f.line, f.what)).collect();
        let expected = [
            (3, "`is_not`"),
            (3, "`not_in_y`"),
            (4, "`a/tests/gone.rs`"),
            (4, "`no/`"),
            (6, "`is_gone`"),
            (1, "`z.rs`"),
        ];
        assert_eq!(missing, expected.map(|(line, what)| (line, what.to_owned())));
    }
}
