//! A sentence: where one ends, and how many words it has.

use crate::passage::{OPAQUE, Passage};

/// The character range of a sentence in its passage, and its number of words.
pub(crate) struct Sentence {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) words: usize,
}

/// The sentences of a passage. A colon or a semicolon ends none; a `·` does, between links.
pub(crate) fn sentences(passage: &Passage) -> Vec<Sentence> {
    let chars = &passage.chars;
    let mut sentences = Vec::new();
    let mut start = 0;
    for index in 0..chars.len() {
        let end = match ends_at(chars, index) {
            Some(end) => end,
            None if index + 1 == chars.len() => chars.len(),
            None => continue,
        };
        let first = (start..end).find(|&at| !chars[at].is_whitespace());
        if let Some(first) = first {
            sentences.push(Sentence { start: first, end, words: words(&chars[first..end]) });
        }
        start = end;
    }
    sentences
}

/// The end of the sentence that the mark at `index` ends, if it does.
fn ends_at(chars: &[char], index: usize) -> Option<usize> {
    if chars[index] == '·' {
        return Some(index + 1);
    }
    if !matches!(chars[index], '.' | '!' | '?' | '…') {
        return None;
    }
    let closing = |next: &&char| matches!(next, ')' | ']' | '"' | '”' | '’' | '\'');
    let end = index + 1 + chars[index + 1..].iter().take_while(closing).count();
    let rest = &chars[end..];
    if !rest.first().is_some_and(|next| next.is_whitespace()) {
        return None;
    }
    let next = *rest.iter().find(|next| !next.is_whitespace())?;
    let starts = next == OPAQUE || matches!(next, '(' | '[' | '"' | '“' | '„' | '…');
    (starts || next.is_uppercase() || next.is_numeric()).then_some(end)
}

/// Pieces between white space that hold a letter, a digit or something opaque.
fn words(chars: &[char]) -> usize {
    let counts = |word: &&[char]| word.iter().any(|&c| c.is_alphanumeric() || c == OPAQUE);
    chars.split(|c| c.is_whitespace()).filter(counts).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(markdown: &str) -> Vec<usize> {
        let passages = Passage::of_markdown(markdown, 1);
        passages.iter().flat_map(sentences).map(|sentence| sentence.words).collect()
    }

    #[test]
    fn sentences_end_at_marks_before_a_new_beginning() {
        assert_eq!(counts("One two. Three four five! `six` seven? (Eight.) Nine"), [2, 3, 2, 1, 1]);
        assert_eq!(counts("It takes 0.5 s; then it ends: always. 3 more."), [8, 2]);
    }

    #[test]
    fn names_of_files_and_ellipses_within_end_none() {
        assert_eq!(counts("Lines of wal.rs or … so on."), [6]);
        assert_eq!(counts("He said no. And so on… Yes."), [3, 3, 1]);
    }

    #[test]
    fn inline_code_is_one_word_and_a_dash_is_none() {
        assert_eq!(counts("`a b c d` — well-known `e f`, g · h"), [4, 1]);
    }

    #[test]
    fn a_list_item_is_a_sentence_of_its_own() {
        assert_eq!(counts("Two things:\n- one thing\n  goes on\n- two\n"), [2, 4, 1]);
    }
}
