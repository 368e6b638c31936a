//! The text files of the repository, read once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories without text of the project: version control, build output, a fuzzer's output.
const SKIPPED: [&str; 5] = [".git", "target", "artifacts", "corpus", "coverage"];

/// Text files by their path relative to the root, with `/` between the parts.
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads all text files under `root`. Files that are not UTF-8 are not text.
    ///
    /// # Errors
    /// When a directory or a file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        read_directory(root, "", &mut files)?;
        Ok(Self { files })
    }

    /// A tree of the given files, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self { files: files.iter().map(owned).collect() }
    }

    /// The root of the work tree that contains `directory`.
    #[must_use]
    pub fn root_above(directory: &Path) -> Option<PathBuf> {
        directory.ancestors().find(|above| above.join(".git").exists()).map(Path::to_owned)
    }

    /// All files with their text, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The directories of the workspace's packages, as the root manifest lists them.
    #[must_use]
    pub fn members(&self) -> Vec<&str> {
        let manifest = self.text("Cargo.toml").unwrap_or_default();
        let list = manifest.split_once("\nmembers = [").and_then(|(_, rest)| rest.split_once(']'));
        let names = list.map_or("", |(names, _)| names);
        names.split('"').skip(1).step_by(2).collect()
    }

    /// The Rust files in the `src` directories of the workspace's packages, modules of tests excepted.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        let roots: Vec<_> = self.members().iter().map(|member| format!("{member}/src/")).collect();
        let mut tests = Vec::new();
        for (path, text) in self.files() {
            for item in text.split("#[cfg(test)]\n").skip(1) {
                let item = item.split_once(';').map_or("", |(item, _)| item);
                if let Some((_, name)) = item.split_once("mod ") {
                    let directory = path.trim_end_matches(".rs").trim_end_matches("/lib");
                    tests.push(format!("{directory}/{name}.rs"));
                }
            }
        }
        self.files().filter(move |(path, _)| {
            path.ends_with(".rs")
                && roots.iter().any(|root| path.starts_with(root))
                && tests.iter().all(|test| path != test)
        })
    }
}

fn read_directory(
    directory: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                read_directory(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file()
            && name != ".git"
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            files.insert(path, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_of_the_root_manifests_members_without_tests() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b/c\"]\ndefault-members = [\"a\"]\n"),
            ("a/src/lib.rs", "#[cfg(test)]\npub(crate) mod t;"),
            ("a/src/t.rs", ""),
            ("a/tests/t.rs", ""),
            ("b/c/src/x/y.rs", ""),
            ("fuzz/src/lib.rs", ""),
        ]);
        assert_eq!(tree.members(), ["a", "b/c"]);
        let sources: Vec<_> = tree.sources().map(|(path, _)| path).collect();
        assert_eq!(sources, ["a/src/lib.rs", "b/c/src/x/y.rs"]);
    }
}
