//! Checks of the words and the module structure of this repository.
//!
//! Each check takes a [`Tree`] and returns its [`Finding`]s. None depends on the crates it reads.

mod circle;
mod finding;
mod glossary;
mod graph;
mod items;
mod lexicon;
mod module;
mod named;
mod passage;
mod sentence;
mod size;
mod source;
mod string_keys;
mod style;
mod tree;
mod words;

pub use circle::circles;
pub use finding::Finding;
pub use glossary::double_terms;
pub use named::missing_names;
pub use size::long_files;
pub use string_keys::string_keys;
pub use style::machine_traces;
pub use tree::Tree;
pub use words::words;

/// A check of the whole repository.
pub type Check = fn(&Tree) -> Vec<Finding>;

/// The checks by their names on the command line.
pub const CHECKS: [(&str, Check); 7] = [
    ("circles", circles),
    ("glossary", double_terms),
    ("named", missing_names),
    ("size", long_files),
    ("string-keys", string_keys),
    ("style", machine_traces),
    ("words", words),
];
