//! `docs/cli.md`, written from the definitions of commands, settings and exit codes.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::{
    cli::{Cli, exit},
    config::{Need, SETTINGS, environment_name, flag_name},
};

const INTRODUCTION: &str = "\
# Command line

Written from the program's own definitions; a test compares this page with them.

Every command that prints for people takes `--json` and then prints one JSON document on standard
output; progress goes to standard error. An error is one line on standard error that says what is
wrong and what to do. Byte strings are lower-case hex with `0x`; heights are blocks.

";

const EXIT_CODES: &[(u8, &str)] = &[
    (exit::OK, "everything asked for was done and every check passed"),
    (exit::CHECK, "a check failed: a proof, a sequencer that isn't ready, a lost bundle"),
    (exit::USAGE, "the command line, a file or the configuration can't be used"),
    (exit::REJECTED, "the bundle was rejected by f+1 sequencers, or it failed"),
    (exit::EXPIRED, "the bundle's window closed before it was ordered"),
    (exit::UNREACHABLE, "too few sequencers answered, or a trace is too little to judge"),
    (exit::CLOSED_OUTPUT, "whoever read the output closed it, as `head` does"),
];

/// The page.
pub(crate) fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in EXIT_CODES {
        row(&mut page, &[&code.to_string(), meaning]);
    }
    let mut root = Cli::command();
    root.build();
    for command in root.get_subcommands() {
        section(&mut page, "fairveil", command);
    }
    settings(&mut page);
    page
}

fn section(page: &mut String, parent: &str, command: &Command) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let children: Vec<_> =
        command.get_subcommands().filter(|child| child.get_name() != "help").collect();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let arguments: Vec<_> = command.get_arguments().filter(|argument| is_shown(argument)).collect();
    if children.is_empty() || !arguments.is_empty() {
        // Writing to a String can't fail.
        let _ = write!(page, "\n## {name}\n\n{}\n", sentence(&about));
        table(page, &arguments);
    }
    for child in children {
        section(page, &name, child);
    }
}

fn table(page: &mut String, arguments: &[&Arg]) {
    if arguments.is_empty() {
        return;
    }
    page.push_str("\n| argument | default | environment | meaning |\n|---|---|---|---|\n");
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let environment = argument.get_env().map(|name| code(&name.to_string_lossy()));
        let environment = environment.unwrap_or_default();
        row(
            page,
            &[&code(&form(argument)), &default(argument), &environment, &meaning(argument, &help)],
        );
    }
}

/// Settings have a table of their own.
fn is_shown(argument: &Arg) -> bool {
    let setting = SETTINGS.iter().any(|setting| argument.get_id() == setting.key);
    let general = ["help", "version", "json"].contains(&argument.get_id().as_str());
    let node = argument.get_help_heading() == Some("Settings");
    let elsewhere = general || (setting && node);
    !argument.is_hide_set() && !elsewhere
}

fn form(argument: &Arg) -> String {
    let value = argument
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    match argument.get_long() {
        None => value,
        Some(long) if takes_value(argument) => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
    }
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

fn default(argument: &Arg) -> String {
    let values: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    match (values.is_empty(), argument.is_required_set(), takes_value(argument)) {
        (false, _, true) => code(&values.join(",")),
        (true, true, _) => "required".into(),
        _ => String::new(),
    }
}

fn meaning(argument: &Arg, help: &str) -> String {
    let mut text = sentence(help);
    if takes_value(argument) {
        let values = argument.get_possible_values();
        let names: Vec<_> = values.iter().map(|value| code(value.get_name())).collect();
        if !names.is_empty() {
            let _ = write!(text, " One of {}.", names.join(", "));
        }
    }
    text
}

fn settings(page: &mut String) {
    page.push_str(
        "\n## Settings of a node\n\n\
         The first of flag, environment, file (`--config`, TOML) and default counts. An unknown key \
         in the file is an error.\n\n\
         | key | flag | environment | default | meaning |\n|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default = match setting.required {
            Need::Required => "required".to_owned(),
            Need::Optional if setting.default.is_empty() => String::new(),
            Need::Optional => code(setting.default),
        };
        let flag = code(&format!("--{}", flag_name(setting.key)));
        let environment = code(&environment_name(setting.key));
        let help = sentence(setting.help);
        row(page, &[&code(setting.key), &flag, &environment, &default, &help]);
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// One line that begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return text };
    let mut sentence: String = first.to_uppercase().chain(characters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_setting_is_on_the_page() {
        let page = reference();
        for heading in ["## fairveil demo\n", "## fairveil bundle wait\n", "## fairveil verify\n"] {
            assert!(page.contains(heading), "{heading}");
        }
        for setting in SETTINGS {
            assert!(page.contains(&format!("| `{}` |", setting.key)), "{}", setting.key);
        }
        assert!(!page.contains("--byzantine KIND` |  |  | Behaves"), "hidden flags are not shown");
    }

    /// `FAIRVEIL_WRITE_DOCS=1` writes the page.
    #[test]
    fn docs_cli_md_is_this_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        if std::env::var_os("FAIRVEIL_WRITE_DOCS").is_some() {
            #[expect(clippy::disallowed_methods, reason = "a test writes the page on request")]
            std::fs::write(path, reference()).expect("docs/cli.md");
        }
        let written = std::fs::read_to_string(path).expect("docs/cli.md");
        assert!(written == reference(), "docs/cli.md differs: run with FAIRVEIL_WRITE_DOCS=1");
    }
}
