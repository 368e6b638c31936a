//! A passage: running prose of one paragraph, list item, heading or table cell, with its lines.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Stands for inline code or a format placeholder: a word whose content is not checked.
pub(crate) const OPAQUE: char = '\u{fffc}';

/// Prose without markup. Sentences do not cross passages.
#[derive(Default)]
pub(crate) struct Passage {
    pub(crate) chars: Vec<char>,
    /// The line of each character.
    lines: Vec<usize>,
    /// Whether this is a table cell, whose length is free.
    pub(crate) cell: bool,
}

impl Passage {
    /// The passages of a Markdown text that begins on `first_line`. Code blocks and HTML have none.
    pub(crate) fn of_markdown(markdown: &str, first_line: usize) -> Vec<Self> {
        let mut reader = Reader::default();
        let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter();
        for (event, range) in events {
            let line = first_line + markdown[..range.start].matches('\n').count();
            reader.take(event, line);
        }
        reader.flush();
        reader.passages
    }

    /// The passage of a string literal on `line`. Text in backticks or braces is opaque.
    pub(crate) fn of_literal(text: &str, line: usize) -> Self {
        let mut passage = Self::default();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let end = match next {
                '`' => Some('`'),
                '{' => Some('}'),
                _ => None,
            };
            let skipped = end.is_some_and(|end| rest.any(|skipped| skipped == end));
            passage.push(if skipped { OPAQUE } else { next }, line);
        }
        passage
    }

    /// The line of the character at `index`.
    pub(crate) fn line(&self, index: usize) -> usize {
        self.lines[index]
    }

    /// The characters from `start` to `end` on one line, with `…` for opaque words.
    pub(crate) fn excerpt(&self, start: usize, end: usize) -> String {
        let text: String = self.chars[start..end].iter().collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ").replace(OPAQUE, "`…`")
    }

    fn push(&mut self, next: char, line: usize) {
        self.chars.push(next);
        self.lines.push(line);
    }
}

#[derive(Default)]
struct Reader {
    passages: Vec<Passage>,
    current: Passage,
    code_block: bool,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Start(tag) if !is_inline(&tag.to_end()) => {
                self.flush();
                self.code_block = matches!(tag, Tag::CodeBlock(_));
                self.current.cell = matches!(tag, Tag::TableCell);
            }
            Event::End(tag) if !is_inline(&tag) => {
                self.flush();
                self.code_block = false;
            }
            Event::Text(text) if !self.code_block => {
                for next in text.chars() {
                    self.current.push(next, line);
                }
            }
            Event::Code(_) => self.current.push(OPAQUE, line),
            Event::SoftBreak | Event::HardBreak => self.current.push(' ', line),
            _ => {}
        }
    }

    fn flush(&mut self) {
        let passage = std::mem::take(&mut self.current);
        if !passage.chars.is_empty() {
            self.passages.push(passage);
        }
    }
}

fn is_inline(tag: &TagEnd) -> bool {
    matches!(tag, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Link | TagEnd::Image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(markdown: &str) -> Vec<String> {
        let whole = |passage: &Passage| passage.excerpt(0, passage.chars.len());
        Passage::of_markdown(markdown, 1).iter().map(whole).collect()
    }

    #[test]
    fn blocks_are_passages_and_code_is_opaque() {
        let markdown = "# A head\n\nText with\n`some code` and [a link](http://x).\n- one\n- two\n\n\
                        ```\nfn f() {}\n```\n\n| a | b |\n|---|---|\n| c | `d` |\n";
        let expected = ["A head", "Text with `…` and a link.", "one", "two", "a", "b", "c", "`…`"];
        assert_eq!(texts(markdown), expected);
        let passages = Passage::of_markdown(markdown, 1);
        let lines: Vec<_> = passages.iter().map(|passage| passage.line(0)).collect();
        assert_eq!(lines, [1, 3, 5, 6, 12, 12, 14, 14]);
        let cells: Vec<_> = passages.iter().map(|passage| passage.cell).collect();
        assert_eq!(cells, [false, false, false, false, true, true, true, true]);
    }

    #[test]
    fn placeholders_and_backticks_of_a_literal_are_opaque() {
        let passage = Passage::of_literal("{a} of `b c` is {{d}}", 7);
        assert_eq!(passage.excerpt(0, passage.chars.len()), "`…` of `…` is `…`}");
        assert_eq!(passage.line(3), 7);
    }
}
