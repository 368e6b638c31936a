//! The lexicon: words that the project's prose does not use, each with its replacement.

use std::sync::LazyLock;

use crate::passage::Passage;

/// Phrases, and the rule that each of them breaks.
struct Entry {
    phrases: Vec<Vec<&'static str>>,
    rule: &'static str,
}

/// The entries of `lexicon.txt`, a line each. They are data, so that no literal here breaks a rule.
static LEXICON: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |(phrases, rule): (&'static str, _)| {
        let phrases = phrases.split(", ").map(|phrase| phrase.split(' ').collect()).collect();
        Entry { phrases, rule }
    };
    let lines = include_str!("lexicon.txt").lines();
    lines.filter_map(|line| line.split_once(": ")).map(entry).collect()
});

/// The character range of an entry's phrase in a passage.
pub(crate) struct Use {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) rule: &'static str,
}

/// Where a passage uses phrases of the lexicon, as whole words.
pub(crate) fn uses(passage: &Passage) -> Vec<Use> {
    let words = words(&passage.chars);
    let mut uses = Vec::new();
    for index in 0..words.len() {
        for entry in LEXICON.iter() {
            for phrase in &entry.phrases {
                let Some(used) = words.get(index..index + phrase.len()) else { continue };
                if used.iter().map(|word| word.text.as_str()).eq(phrase.iter().copied()) {
                    let end = used[phrase.len() - 1].end;
                    uses.push(Use { start: used[0].start, end, rule: entry.rule });
                }
            }
        }
    }
    uses
}

/// A word in lower case, or a mark that is not white space.
struct Word {
    start: usize,
    end: usize,
    text: String,
}

/// The words of `chars`. An underscore joins: identifiers are no prose.
fn words(chars: &[char]) -> Vec<Word> {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut start = 0;
    for run in chars.chunk_by(|&a, &b| joins(a) && joins(b)) {
        let text = run.iter().collect::<String>().to_lowercase();
        let end = start + run.len();
        if !text.trim().is_empty() {
            words.push(Word { start, end, text });
        }
        start = end;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(markdown: &str) -> Vec<String> {
        let passages = Passage::of_markdown(markdown, 1);
        let found = |passage: &Passage| -> Vec<String> {
            uses(passage).iter().map(|used| passage.excerpt(used.start, used.end)).collect()
        };
        passages.iter().flat_map(found).collect()
    }

    #[test]
    fn phrases_are_found_as_whole_words_in_any_case() {
        let sentence = "Whoever is *told*, nobody's beside.";
        assert_eq!(found(sentence), ["Whoever", "told", "nobody", "beside"]);
        assert_eq!(found("the part under\nway is let  go"), ["under way", "let go"]);
        assert_eq!(found("| a door |\n|---|\n| what comes |"), ["door", "what comes"]);
    }

    #[test]
    fn code_identifiers_and_other_words_are_not() {
        let innocent =
            "`told` hello_told besides outdoor retold; \"what, comes\" let us go\n\n    beside\n";
        assert_eq!(found(innocent), Vec::<String>::new());
    }

    #[test]
    fn the_phrases_that_operators_look_for_stay() {
        for phrase in [
            "Received SIGTERM",
            "Saving state snapshot",
            "State snapshot saved",
            "Found state snapshot",
            "Gossip state restored",
            "Restored 3 peer X25519 keys",
            "ICNd stopped",
        ] {
            assert_eq!(found(phrase), Vec::<String>::new());
        }
    }
}
