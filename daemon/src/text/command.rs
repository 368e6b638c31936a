//! Commands in texts for operators: pasteable as they are, also where the data directory is not the default one.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The first words of the commands of `icnctl`, by which a text's commands are found among its prose.
pub(crate) const ICNCTL_WORDS: [&str; 9] =
    ["clock", "gossip", "identity", "peer", "snapshot", "state", "status", "topic", "wal"];

/// The first words of the commands of `icnd`.
const ICND_WORDS: [&str; 3] = ["check-config", "init", "run"];

/// The data directory that commands in texts of this process must name.
static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Has [`located`] name this data directory. The main function calls it once, and only where the directory is
/// not the one that the programs use by themselves.
pub(crate) fn name_directory(directory: &Path) {
    let _ = DIRECTORY.set(directory.to_path_buf());
}

/// `text`, whose commands name the data directory of this process unless it is the default one.
pub(crate) fn located(text: &str) -> String {
    match DIRECTORY.get() {
        None => text.to_owned(),
        Some(directory) => located_in(text, directory),
    }
}

/// `text`, whose commands name `directory`.
fn located_in(text: &str, directory: &Path) -> String {
    let option = format!(" --data-dir {}", quoted(directory));
    let mut located = String::with_capacity(text.len() + option.len());
    let mut rest = text;
    while let Some((before, program)) = next_command(rest) {
        let end = before + program.len();
        located.push_str(&rest[..end]);
        if !one_command(&rest[end..]).contains("--data-dir") {
            located.push_str(&option);
        }
        rest = &rest[end..];
    }
    located + rest
}

/// The place of the first command in `text`, and its program.
fn next_command(text: &str) -> Option<(usize, &'static str)> {
    let found = ["icnctl", "icnd"].into_iter().flat_map(|program| {
        text.match_indices(program)
            .map(move |(at, _)| (at, program))
            .filter(|&(at, program)| is_command(&text[..at], program, &text[at + program.len()..]))
    });
    found.min()
}

/// Whether a mention of a program is a command, and not prose about the program.
fn is_command(before: &str, program: &str, after: &str) -> bool {
    if !(before.is_empty() || before.ends_with([' ', '\n', '`', '>', '('])) {
        return false;
    }
    let Some(arguments) = after.strip_prefix(' ') else {
        // `Start it: icnd`
        return program == "icnd"
            && before.ends_with(": ")
            && (after.is_empty() || after.starts_with(['\n', '.', ',', ';']));
    };
    let word = arguments.split([' ', '\n', '`', '<', ',', ';', ')']).next().unwrap_or_default();
    let word = word.trim_end_matches(['.', ':']);
    let words: &[&str] = if program == "icnd" { &ICND_WORDS } else { &ICNCTL_WORDS };
    words.contains(&word) || (word.starts_with("--") && word != "--version" && word != "--help")
}

/// The commands in `text`.
#[cfg(test)]
pub(crate) fn commands_in(text: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut rest = text;
    while let Some((before, program)) = next_command(rest) {
        let command = &rest[before..];
        let command = &command[..program.len() + one_command(&command[program.len()..]).len()];
        commands.push(command.trim_end_matches('.'));
        rest = &rest[before + program.len()..];
    }
    commands
}

/// The command of this process as a shell reads it, without some of its options.
pub(crate) fn of_this_process(left_out: &[&str]) -> String {
    let arguments =
        std::env::args_os().filter(|argument| !left_out.iter().any(|out| argument == out));
    arguments.map(quoted).collect::<Vec<_>>().join(" ")
}

/// The part of `text` up to the end of the command that it begins with.
fn one_command(text: &str) -> &str {
    let ends = [". ", ", ", "; ", "\n", "`"].into_iter().filter_map(|end| text.find(end));
    &text[..ends.min().unwrap_or(text.len())]
}

/// A path or argument as a shell reads it back.
pub(crate) fn quoted(argument: impl AsRef<std::ffi::OsStr>) -> String {
    let text = argument.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn at(text: &str) -> String {
        located_in(text, Path::new("/srv/a b"))
    }

    #[test]
    fn every_command_of_a_text_names_the_directory_and_its_prose_does_not() {
        for (text, expected) in [
            ("See: icnctl status", "See: icnctl --data-dir '/srv/a b' status"),
            ("Start it: icnd", "Start it: icnd --data-dir '/srv/a b'"),
            (
                "Start it: icnd. Then look: icnctl topic list. Or icnctl wal list, or icnctl clock show",
                "Start it: icnd --data-dir '/srv/a b'. Then look: icnctl --data-dir '/srv/a b' topic list. \
                 Or icnctl --data-dir '/srv/a b' wal list, or icnctl --data-dir '/srv/a b' clock show",
            ),
            ("Check it: icnd check-config", "Check it: icnd --data-dir '/srv/a b' check-config"),
            ("  icnd --http 127.0.0.1:0", "  icnd --data-dir '/srv/a b' --http 127.0.0.1:0"),
        ] {
            assert_eq!(at(text), expected);
        }
        for prose in [
            "Use the icnctl that came with the node: icnctl --version, icnd --version",
            "Start icnd again, and report the last lines of its log.",
            "Choose another: icnd --data-dir DIR",
            "Make one: icnd init --data-dir DIR\n  icnctl --data-dir DIR snapshot import FILE",
            "icnd was stopped or failed",
            "/usr/bin/icnctl status",
        ] {
            assert_eq!(at(prose), prose);
        }
    }

    #[test]
    fn a_shell_reads_a_quoted_argument_back() {
        for text in ["a", "", "a b", "it's", "$HOME", "a\"b", "`x`", "~", "a\\b", "#990", "-n", "*"]
        {
            let line = format!("printf %s {}", quoted(text));
            // `printf` itself takes no option after the format.
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{line}");
        }
    }
}
