//! The modules of a crate: their items, their names, and the files they are in.

use crate::items::Items;
use crate::source::Source;
use crate::tree::Tree;

/// A module, or an item of one.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

/// A module of a crate.
pub(crate) struct Module {
    /// The names from the crate's root to here; empty for the root.
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    parent: Option<usize>,
    pub(crate) items: Items,
}

/// A crate's modules. The first is the root; parents come before their children.
#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

impl Crate {
    /// The modules of the crate whose root is the file `root`.
    pub(crate) fn load(tree: &Tree, root: &str) -> Self {
        let mut modules = Self::default();
        let source = Source::of(tree.text(root).unwrap_or_default());
        let items = Items::of(source.tokens.clone(), &source);
        let directory = root.rsplit_once('/').map_or("", |(directory, _)| directory);
        let module = Module { path: Vec::new(), file: root.to_owned(), parent: None, items };
        modules.add(tree, &source, directory, module);
        modules
    }

    /// Adds a module and its children; `directory` is where the files of its children are.
    fn add(&mut self, tree: &Tree, source: &Source, directory: &str, mut module: Module) {
        let children = std::mem::take(&mut module.items.children);
        let above = module.path.clone();
        let own_file = module.file.clone();
        let parent = Some(self.modules.len());
        self.modules.push(module);
        for (name, content) in children {
            let within = format!("{directory}/{name}");
            let path = [&above[..], &[name]].concat();
            if let Some(tokens) = content {
                let items = Items::of(tokens, source);
                let child = Module { path, file: own_file.clone(), parent, items };
                self.add(tree, source, &within, child);
            } else {
                let file = format!("{within}.rs");
                let source = Source::of(tree.text(&file).unwrap_or_default());
                let items = Items::of(source.tokens.clone(), &source);
                self.add(tree, &source, &within, Module { path, file, parent, items });
            }
        }
    }

    /// What `path` stands for in the module `from`: more than one when kinds of names share it.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> Vec<Target> {
        self.resolve_within(from, path, &mut Vec::new())
    }

    /// Resolves `path`. `open` has the names being looked up: none is looked up within itself.
    fn resolve_within<'a>(
        &'a self,
        from: usize,
        path: &'a [String],
        open: &mut Vec<(usize, &'a str)>,
    ) -> Vec<Target> {
        let mut targets = vec![Target::Module(from)];
        for name in path {
            let mut next = Vec::new();
            for target in targets {
                match (target, name.as_str()) {
                    (Target::Item(_), _) | (_, "self") => next.push(target),
                    (_, "crate") => next.push(Target::Module(0)),
                    (Target::Module(module), "super") => {
                        next.extend(self.modules[module].parent.map(Target::Module));
                    }
                    (Target::Module(module), name) => next.extend(self.look_up(module, name, open)),
                }
            }
            targets = next;
        }
        targets
    }

    /// What `name` stands for in `module`, through its `use`s and globs.
    fn look_up<'a>(
        &'a self,
        module: usize,
        name: &'a str,
        open: &mut Vec<(usize, &'a str)>,
    ) -> Vec<Target> {
        if open.contains(&(module, name)) {
            return Vec::new();
        }
        open.push((module, name));
        let items = &self.modules[module].items;
        let is_child = |child: &Module| {
            child.parent == Some(module) && child.path.last().is_some_and(|last| last == name)
        };
        let mut targets = Vec::new();
        targets.extend(items.defined.iter().any(|one| one == name).then_some(Target::Item(module)));
        targets.extend(self.modules.iter().position(is_child).map(Target::Module));
        for import in items.imports.iter().filter(|one| one.name.as_deref() == Some(name)) {
            targets.extend(self.resolve_within(module, &import.path, open));
        }
        for glob in items.imports.iter().filter(|import| import.name.is_none()) {
            for target in self.resolve_within(module, &glob.path, open) {
                if let Target::Module(other) = target {
                    targets.extend(self.look_up(other, name, open));
                }
            }
        }
        open.pop();
        targets
    }
}

impl Module {
    /// The name for people: `a::b`, or `crate` for the root.
    pub(crate) fn name(&self) -> String {
        if self.path.is_empty() { "crate".to_owned() } else { self.path.join("::") }
    }

    /// Whether this module is `other` or contains it.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.path.starts_with(&self.path)
    }
}
