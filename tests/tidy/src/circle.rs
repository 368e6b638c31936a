//! The check of circles: modules outside parent and child do not need each other.

use std::collections::{BTreeSet, VecDeque};

use crate::finding::Finding;
use crate::graph::Graph;
use crate::tree::Tree;

/// The shortest circle through each edge that lies on one, shortest first.
///
/// A circle leads through two modules neither of which contains the other. It does not lead
/// through the module that contains them all: a parent and its children are one room. Only the
/// libraries are read: the programs have no modules.
#[must_use]
pub fn circles(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in tree.members() {
        let graph = Graph::of(tree, &format!("{package}/src/lib.rs"));
        for circle in shortest(&graph) {
            found.push((circle.len(), finding(package, &graph, &circle)));
        }
    }
    found.sort();
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// The shortest circle through each edge on one, each circle once and from its smallest module.
fn shortest(graph: &Graph) -> BTreeSet<Vec<usize>> {
    let mut circles = BTreeSet::new();
    for &(from, to) in graph.edges.keys() {
        let source = &graph.modules[from];
        let target = &graph.modules[to];
        if source.contains(target) || target.contains(source) {
            continue;
        }
        let shared = source.path.iter().zip(&target.path).take_while(|(a, b)| a == b).count();
        let room = &source.path[..shared];
        let inside = |module: usize| {
            let path = &graph.modules[module].path;
            path.len() > shared && path.starts_with(room)
        };
        if let Some(mut circle) = way(graph, to, from, inside) {
            let least = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
            circle.rotate_left(least);
            circles.insert(circle);
        }
    }
    circles
}

/// The modules on the shortest way from `from` to `to`, both included.
fn way(
    graph: &Graph,
    from: usize,
    to: usize,
    inside: impl Fn(usize) -> bool,
) -> Option<Vec<usize>> {
    let mut seen = BTreeSet::from([from]);
    let mut queue = VecDeque::from([vec![from]]);
    while let Some(way) = queue.pop_front() {
        let module = way[way.len() - 1];
        if module == to {
            return Some(way);
        }
        for &(_, next) in graph.edges.range((module, 0)..(module + 1, 0)).map(|(edge, _)| edge) {
            if inside(next) && seen.insert(next) {
                queue.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}

fn finding(package: &str, graph: &Graph, circle: &[usize]) -> Finding {
    let mut names = Vec::new();
    let mut sites = Vec::new();
    for (at, &module) in circle.iter().enumerate() {
        let next = circle[(at + 1) % circle.len()];
        names.push(graph.modules[module].name());
        sites.push((graph.modules[module].file.clone(), graph.edges[&(module, next)]));
    }
    names.push(names[0].clone());
    let others: Vec<_> = sites[1..].iter().map(|(file, line)| format!("{file}:{line}")).collect();
    let what = format!("{package}: {} ({})", names.join(" -> "), others.join(", "));
    let rule = "modules that need each other cannot be read alone; move the definition that both \
                need to a module below them";
    Finding::new(&sites[0].0, sites[0].1, what, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n");
        let tree = Tree::of(&[&[manifest], files].concat());
        circles(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_circle_of_siblings_is_found_through_a_re_export_shortest_first() {
        let files = [
            ("a/src/lib.rs", "mod x; mod y; mod z; pub use z::Z;"),
            ("a/src/x.rs", "\nuse crate::y::Y; pub struct X;"),
            ("a/src/y.rs", "use crate::Z; pub struct Y;"),
            ("a/src/z.rs", "use crate::x::X; use crate::Y; pub struct Z; fn f() { crate::y::Y }"),
        ];
        let expected =
            ["a: y -> z -> y (a/src/z.rs:1)", "a: x -> y -> z -> x (a/src/y.rs:1, a/src/z.rs:1)"];
        assert_eq!(whats(&files), expected);
    }

    #[test]
    fn parent_and_child_may_need_each_other() {
        let files = [
            ("a/src/lib.rs", "mod x; pub use x::X; pub struct R;"),
            ("a/src/x.rs", "mod y; mod z; use y::Y; use crate::R; pub struct X;"),
            ("a/src/x/y.rs", "use super::z::Z; pub struct Y;"),
            ("a/src/x/z.rs", "use super::X; use crate::R; pub struct Z;"),
        ];
        assert_eq!(whats(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_between_a_room_and_another_module_is_found_through_the_rooms_children() {
        let files = [
            ("a/src/lib.rs", "mod x; mod w;"),
            ("a/src/x.rs", "mod y; use y::Y; pub struct X;"),
            ("a/src/x/y.rs", "use crate::w::W; pub struct Y;"),
            ("a/src/w.rs", "use crate::x::X; pub struct W;"),
        ];
        assert_eq!(whats(&files), ["a: x -> x::y -> w -> x (a/src/x/y.rs:1, a/src/w.rs:1)"]);
    }
}
