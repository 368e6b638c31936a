//! The items of a module: what it defines, imports and names by paths.

use proc_macro2::{TokenStream, TokenTree};

use crate::source::{Source, line_of};

const DEFINING: [&str; 8] = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];

/// What a module has, without the items of its child modules and its tests.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) defined: Vec<String>,
    /// The child modules; without tokens for those in a file of their own.
    pub(crate) children: Vec<(String, Option<TokenStream>)>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two names or more, with their lines.
    pub(crate) paths: Vec<(Vec<String>, usize)>,
}

/// A path that a `use` imports, and the name it gets; none for a glob.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
}

impl Items {
    /// The items in `tokens`, which are a module's of the file `source`.
    pub(crate) fn of(tokens: TokenStream, source: &Source) -> Self {
        let mut items = Self::default();
        items.scan(tokens, source, true);
        items
    }

    fn scan(&mut self, tokens: TokenStream, source: &Source, top: bool) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let line = line_of(token);
            at += 1;
            let TokenTree::Ident(first) = token else {
                if let TokenTree::Group(group) = token
                    && !source.is_test(line)
                {
                    self.scan(group.stream(), source, false);
                }
                continue;
            };
            if source.is_test(line) {
                continue;
            }
            let keyword = first.to_string();
            match tokens.get(at) {
                Some(TokenTree::Ident(name)) if top && keyword == "mod" => {
                    let content = match tokens.get(at + 1) {
                        Some(TokenTree::Group(group)) => Some(group.stream()),
                        _ => None,
                    };
                    self.children.push((name.to_string(), content));
                    at += 2;
                }
                Some(TokenTree::Ident(name)) if top && DEFINING.contains(&keyword.as_str()) => {
                    self.defined.push(name.to_string());
                }
                _ if keyword == "use" => {
                    let length = tokens[at..].iter().take_while(|token| !is(token, ';')).count();
                    import(&tokens[at..at + length], &[], &mut self.imports);
                    at += length;
                }
                _ => {
                    let mut path = vec![keyword];
                    while let [colon, second, TokenTree::Ident(name), ..] = &tokens[at..]
                        && is(colon, ':')
                        && is(second, ':')
                    {
                        path.push(name.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.paths.push((path, line));
                    }
                }
            }
        }
    }
}

/// Adds what a tree of a `use` below the path `above` imports.
fn import(tree: &[TokenTree], above: &[String], imports: &mut Vec<Import>) {
    for branch in tree.split(|token| is(token, ',')) {
        let mut path = above.to_vec();
        let mut renamed = None;
        for token in branch {
            match token {
                TokenTree::Ident(name) if renamed.is_some() => renamed = Some(name.to_string()),
                TokenTree::Ident(name) if name == "as" => renamed = Some(String::new()),
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Group(group) => {
                    let group: Vec<_> = group.stream().into_iter().collect();
                    import(&group, &path, imports);
                }
                _ => {}
            }
        }
        let Some(last) = branch.last() else { continue };
        if path.len() > 1 {
            path.pop_if(|name| name == "self");
        }
        let name = match last {
            TokenTree::Ident(_) => renamed.or_else(|| path.last().cloned()),
            last if is(last, '*') => None,
            _ => continue,
        };
        imports.push(Import { path, name, line: line_of(last) });
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
