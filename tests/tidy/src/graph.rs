//! The module graph of a crate: which module needs an item that another defines.

use std::collections::BTreeMap;

use crate::module::{Crate, Module, Target};
use crate::tree::Tree;

/// A crate's modules and the edges between them.
pub(crate) struct Graph {
    pub(crate) modules: Vec<Module>,
    /// The first line of the first module that needs an item of the second.
    pub(crate) edges: BTreeMap<(usize, usize), usize>,
}

impl Graph {
    /// The graph of the crate whose root is the file `root`.
    pub(crate) fn of(tree: &Tree, root: &str) -> Self {
        let loaded = Crate::load(tree, root);
        let mut edges = BTreeMap::new();
        for (index, module) in loaded.modules.iter().enumerate() {
            let imports = module.items.imports.iter();
            let imports = imports.map(|import| (&import.path, import.line, import.name.is_none()));
            let paths = module.items.paths.iter().map(|(path, line)| (path, *line, false));
            for (path, line, glob) in imports.chain(paths) {
                for target in loaded.resolve(index, path) {
                    let definer = match target {
                        Target::Item(definer) => definer,
                        Target::Module(module) if glob => module,
                        Target::Module(_) => continue,
                    };
                    if definer != index {
                        let first = edges.entry((index, definer)).or_insert(line);
                        *first = line.min(*first);
                    }
                }
            }
        }
        Self { modules: loaded.modules, edges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges between the modules of a crate of these files, as `from -> to`.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let graph = Graph::of(&Tree::of(files), "a/src/lib.rs");
        let name = |index: usize| graph.modules[index].name();
        graph.edges.keys().map(|&(from, to)| format!("{} -> {}", name(from), name(to))).collect()
    }

    const ROOT: &str = "mod x; mod y; mod z; pub use x::X;";

    fn with(x: &str, y: &str, z: &str) -> Vec<String> {
        let files =
            [("a/src/lib.rs", ROOT), ("a/src/x.rs", x), ("a/src/y.rs", y), ("a/src/z.rs", z)];
        let edges = edges(&files).into_iter();
        edges.filter(|edge| !edge.starts_with("crate")).collect()
    }

    #[test]
    fn an_import_through_a_re_export_leads_to_the_definer() {
        assert_eq!(with("pub struct X;", "use crate::X;", ""), ["y -> x"]);
        assert_eq!(
            with("pub use super::y::X;", "pub struct X;", "use crate::X;"),
            ["x -> y", "z -> y"]
        );
        assert_eq!(
            with("pub struct X;", "pub use crate::X as W;", "use super::y::W;"),
            ["y -> x", "z -> x"]
        );
    }

    #[test]
    fn a_module_that_is_only_imported_is_not_needed_but_what_is_used_of_it_is() {
        let x = "pub use super::y::f; pub fn g() {}";
        assert_eq!(with(x, "pub fn f() {}", "use super::x;"), ["x -> y"]);
        let through = "use super::x; fn h() { x::f() }";
        assert_eq!(with(x, "pub fn f() {}", through), ["x -> y", "z -> y"]);
        let local = "fn h() { use super::{x::{self as w}}; w::g() }";
        assert_eq!(with(x, "pub fn f() {}", local), ["x -> y", "z -> x"]);
    }

    #[test]
    fn a_glob_needs_its_module_and_passes_its_items_on() {
        let x = "pub struct X; pub fn f() {}";
        assert_eq!(with(x, "use super::x::*;", ""), ["y -> x"]);
        assert_eq!(with(x, "pub use super::x::*;", "use crate::y::f;"), ["y -> x", "z -> x"]);
    }

    #[test]
    fn paths_in_macros_attributes_and_patterns_are_edges() {
        let x = "pub const N: u8 = 1; pub mod with {} pub fn f() {}";
        assert_eq!(with(x, "fn g() { assert!(crate::x::N == 1) }", ""), ["y -> x"]);
        assert_eq!(
            with(x, "struct S { #[arg(value_parser = super::x::f)] s: u8 }", ""),
            ["y -> x"]
        );
        assert_eq!(
            with(x, "fn g(n: u8) { match n { super::x::N => {} _ => {} } }", ""),
            ["y -> x"]
        );
        assert_eq!(with(x, "macro_rules! m { () => { $crate::x::f() } }", ""), ["y -> x"]);
    }

    #[test]
    fn tests_other_crates_and_fields_are_no_edges() {
        let x = "pub struct X; pub fn f() {}";
        assert_eq!(with(x, "#[cfg(test)] mod tests { use crate::X; }", ""), Vec::<String>::new());
        assert_eq!(with(x, "#[cfg(test)] use crate::X;", ""), Vec::<String>::new());
        let other = "use other::x::f; fn g() { m!(a.x::<u8>(), other::x::f()) }";
        assert_eq!(with(x, other, ""), Vec::<String>::new());
    }

    #[test]
    fn nested_and_inline_modules_resolve_super() {
        let files = [
            ("a/src/lib.rs", "mod x; mod y;"),
            ("a/src/x.rs", "mod deep; pub struct X; mod inline { use super::super::y::Y; }"),
            ("a/src/x/deep.rs", "use super::X; use super::super::y; type T = y::Y;"),
            ("a/src/y.rs", "pub struct Y;"),
        ];
        assert_eq!(edges(&files), ["x::deep -> x", "x::deep -> y", "x::inline -> y"]);
    }
}
