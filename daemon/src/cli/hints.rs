//! The commands in hints of this build are commands of this build, also with a data directory in them.

use clap::{CommandFactory, Parser};

use super::args::Cli;
use crate::control::codes;
use crate::limits::LIMITS;
use crate::text::command::{ICNCTL_WORDS, commands_in};

#[test]
fn every_command_in_a_hint_can_be_pasted() {
    let mut found = 0;
    let advices = codes::all().map(|code| (code.code, code.advice));
    for (name, text) in advices.chain(LIMITS.iter().map(|limit| (limit.what, limit.way_out))) {
        for command in commands_in(text) {
            found += 1;
            // Where a hint leaves a value open, it has a name in capitals.
            let words = command.split_whitespace().map(|word| if word == "N" { "1" } else { word });
            if command.starts_with("icnctl") {
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{name}: {command}: {}", parsed.unwrap_err());
            } else {
                assert!(command.starts_with("icnd"), "{name}: {command}");
            }
        }
    }
    assert!(found > 40, "{found} commands were found");
}

#[test]
fn the_words_by_which_commands_are_found_are_those_of_icnctl() {
    let command = Cli::command();
    let words = command.get_subcommands().map(|command| command.get_name().to_owned());
    let mut words: Vec<_> = words.filter(|word| word != "completions").collect();
    words.sort_unstable();
    assert_eq!(words, ICNCTL_WORDS);
}
