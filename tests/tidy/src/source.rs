//! A Rust file as tokens, with the lines that only its tests have.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::LitStr;

/// The tokens of a Rust file.
pub(crate) struct Source {
    pub(crate) tokens: TokenStream,
    tests: Vec<RangeInclusive<usize>>,
}

impl Source {
    /// Reads `text`. A file that the compiler would refuse has no tokens.
    pub(crate) fn of(text: &str) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_default();
        let mut tests = Vec::new();
        find_tests(tokens.clone(), &mut tests);
        Self { tokens, tests }
    }

    /// Whether `line` belongs to an item under `#[cfg(test)]`.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// The string literals outside tests and doc comments, with their lines.
    pub(crate) fn literals(&self) -> Vec<(String, usize)> {
        let mut literals = Vec::new();
        find_literals(self.tokens.clone(), &mut literals);
        literals.retain(|&(_, line)| !self.is_test(line));
        literals
    }
}

/// The line on which a token starts.
pub(crate) fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

/// The value of a token that is a string literal.
pub(crate) fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(_) = token else { return None };
    syn::parse2::<LitStr>(token.clone().into()).ok().map(|text| text.value())
}

fn find_tests(tokens: TokenStream, tests: &mut Vec<RangeInclusive<usize>>) {
    let mut first = None;
    for token in tokens {
        let ends = match &token {
            TokenTree::Group(group) if is_cfg_test(group) => {
                first = first.or(Some(line_of(&token)));
                false
            }
            TokenTree::Group(group) => {
                if first.is_none() {
                    find_tests(group.stream(), tests);
                }
                group.delimiter() == Delimiter::Brace
            }
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        if let Some(first) = first.take_if(|_| ends) {
            tests.push(first..=token.span().end().line);
        }
    }
}

fn is_cfg_test(group: &Group) -> bool {
    let text = group.stream().to_string().replace(' ', "");
    group.delimiter() == Delimiter::Bracket && text == "cfg(test)"
}

fn find_literals(tokens: TokenStream, literals: &mut Vec<(String, usize)>) {
    let mut doc = false;
    for token in tokens {
        match &token {
            TokenTree::Group(group) => find_literals(group.stream(), literals),
            TokenTree::Ident(name) => doc = name == "doc",
            TokenTree::Literal(_) if !doc => {
                literals.extend(string(&token).map(|text| (text, line_of(&token))));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! Top.
#[cfg(test)]
use a::{b};
#[cfg(any(test, unix))]
/// Item.
fn b() { print!(\"one \\
  two\") }
#[cfg(test)]
mod c {
    fn d() { \"test\" }
}
impl E {
    #[cfg(test)]
    fn f() {}
    fn g() { \"three\" }
}
";

    #[test]
    fn only_items_that_no_other_build_has_are_tests() {
        let source = Source::of(TEXT);
        let tests: Vec<_> = (1..=17).filter(|&line| source.is_test(line)).collect();
        assert_eq!(tests, [2, 3, 8, 9, 10, 11, 13, 14]);
    }

    #[test]
    fn literals_are_read_outside_tests_and_doc_comments() {
        let literals = [("one two".to_owned(), 6), ("three".to_owned(), 15)];
        assert_eq!(Source::of(TEXT).literals(), literals);
    }
}
