//! The house is in order: no check of this package finds anything in the repository.

use std::path::Path;
use std::sync::LazyLock;

use icn_tidy::{
    Check, Tree, circles, double_terms, long_files, machine_traces, missing_names, string_keys,
    words,
};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(2).expect("the package is two directories deep");
    Tree::read(root).expect("the repository can be read")
});

#[test]
fn prose_has_plain_words_and_short_sentences() {
    finds_nothing(words);
}

#[test]
fn modules_outside_parent_and_child_do_not_need_each_other() {
    finds_nothing(circles);
}

#[test]
fn views_read_replies_by_fields() {
    finds_nothing(string_keys);
}

#[test]
fn every_file_and_test_that_the_documents_name_exists() {
    finds_nothing(missing_names);
}

#[test]
fn no_source_file_has_more_than_400_lines() {
    finds_nothing(long_files);
}

#[test]
fn no_text_names_the_machine_it_was_written_on() {
    finds_nothing(machine_traces);
}

#[test]
fn every_term_of_the_glossary_has_one_row() {
    finds_nothing(double_terms);
}

fn finds_nothing(check: Check) {
    let findings: String = check(&TREE).iter().map(|finding| format!("{finding}\n")).collect();
    assert!(findings.is_empty(), "\n{findings}");
}
