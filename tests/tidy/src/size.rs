//! The check of size: a source file has at most 400 lines.

use crate::finding::Finding;
use crate::source::Source;
use crate::tree::Tree;

/// More lines than these hold two nouns.
const LINES_MAX: usize = 400;

/// Source files that are too long. Lines of tests do not count.
#[must_use]
pub fn long_files(tree: &Tree) -> Vec<Finding> {
    let long = tree.sources().filter_map(|(path, text)| {
        let source = Source::of(text);
        let lines = (1..=text.lines().count()).filter(|&line| !source.is_test(line)).count();
        let rule = "a source file has at most 400; move one of its nouns to a file of its own";
        let finding = || Finding::new(path, LINES_MAX + 1, format!("{lines} lines"), rule);
        (lines > LINES_MAX).then(finding)
    });
    long.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_are_not_counted() {
        let body = "// a\n".repeat(400);
        let within = format!("{body}#[cfg(test)]\nmod tests {{\n}}\n");
        let long = format!("{within}// b\n");
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
            ("a/src/long.rs", &long),
            ("a/src/within.rs", &within),
            ("a/tests/long.rs", &long),
        ]);
        let findings = long_files(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].file, "a/src/long.rs");
        assert_eq!(findings[0].what, "401 lines");
    }
}
