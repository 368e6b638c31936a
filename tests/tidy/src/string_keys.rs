//! The check of string keys: views of replies read fields of types, not keys of JSON values.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::finding::Finding;
use crate::source::{Source, line_of, string};
use crate::tree::Tree;

/// The views: the command line, and the pages over HTTP.
const VIEWS: [&str; 3] = ["daemon/src/cli.rs", "daemon/src/cli/", "daemon/src/http/"];

/// Each use of a value by a literal key in a view, and each by a parameter of type `&str`.
#[must_use]
pub fn string_keys(tree: &Tree) -> Vec<Finding> {
    let is_view = |path: &str| VIEWS.iter().any(|view| path.starts_with(view));
    let mut findings = Vec::new();
    for (path, text) in tree.sources().filter(|(path, _)| is_view(path)) {
        let source = Source::of(text);
        let mut parameters = BTreeSet::new();
        text_parameters(source.tokens.clone(), &mut parameters);
        let mut reads = Vec::new();
        read(source.tokens.clone(), &parameters, &mut reads);
        for (key, line) in reads.into_iter().filter(|&(_, line)| !source.is_test(line)) {
            let rule = "a misspelt key reads as nothing; read a field of the reply's type";
            findings.push(Finding::new(path, line, key, rule));
        }
    }
    findings
}

/// Collects the names before `: &str`.
fn text_parameters(tokens: TokenStream, names: &mut BTreeSet<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for at in 0..tokens.len() {
        if let [TokenTree::Ident(name), colon, and, of, ..] = &tokens[at..]
            && [colon, and, of].map(ToString::to_string) == [":", "&", "str"]
        {
            names.insert(name.to_string());
        }
        if let TokenTree::Group(group) = &tokens[at] {
            text_parameters(group.stream(), names);
        }
    }
}

/// Collects the keys that `tokens` read, with their lines.
fn read(tokens: TokenStream, parameters: &BTreeSet<String>, reads: &mut Vec<(String, usize)>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let inner: Vec<_> = group.stream().into_iter().collect();
        let by_key = is_look_up(&tokens[..at], group.delimiter())
            || is_index(&tokens[..at], group.delimiter());
        if by_key
            && let [key] = &inner[..]
            && (string(key).is_some() || parameters.contains(&key.to_string()))
        {
            reads.push((key.to_string(), line_of(token)));
        }
        read(group.stream(), parameters, reads);
    }
}

/// Whether brackets after `before` index a value, rather than make an array or an attribute.
fn is_index(before: &[TokenTree], delimiter: Delimiter) -> bool {
    let value = match before.last() {
        Some(TokenTree::Ident(name)) => {
            !["return", "in", "match", "mut"].contains(&name.to_string().as_str())
        }
        Some(TokenTree::Group(_)) => true,
        Some(TokenTree::Punct(punct)) => punct.as_char() == '?',
        _ => false,
    };
    value && delimiter == Delimiter::Bracket
}

fn is_look_up(before: &[TokenTree], delimiter: Delimiter) -> bool {
    let [.., dot, method] = before else { return false };
    let methods = ["get", "get_mut", "pointer", "pointer_mut"];
    delimiter == Delimiter::Parenthesis
        && dot.to_string() == "."
        && methods.contains(&method.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_reading_by_a_literal_key_is_found_and_no_other() {
        let view = r#"
fn text(data: &Value, key: &str) -> String { data[key].to_string() }
fn f(data: &Value) {
    let number = |path: &str| data.pointer(path);
    println!("{}", data["one"]["two"]);
    data.get("three"); number("/four"); text(data, "five");
    if data["six"] == 1 { reply?["seven"].take(); }
    data["written"] = json!(["array"]); for x in ["nine"] {}
    let array = ["eight"]; array[0]; g(&["nine"]); text(data, KEY); self.text("method");
}
#[cfg(test)]
mod tests { fn g() { data["test"]; } }
"#;
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"daemon\"]\n"),
            ("daemon/src/cli/render.rs", view),
            ("daemon/src/http/page.rs", "fn f() { data[\"page\"]; }"),
            ("daemon/src/node.rs", "fn f() { data[\"not a view\"]; }"),
        ]);
        let found: Vec<_> = string_keys(&tree).into_iter().map(|f| (f.what, f.line)).collect();
        let keys = [
            ("key", 2),
            ("path", 4),
            ("\"one\"", 5),
            ("\"two\"", 5),
            ("\"three\"", 6),
            ("\"six\"", 7),
            ("\"seven\"", 7),
            ("\"written\"", 8),
            ("\"page\"", 1),
        ];
        assert_eq!(found, keys.map(|(key, line)| (key.to_owned(), line)));
    }
}
