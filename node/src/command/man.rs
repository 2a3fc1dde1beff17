//! `fairveil man`: the manual pages, from the definitions of the command line.

use std::path::Path;

use clap::CommandFactory as _;

use super::{
    disk::{self, Readers},
    error::CommandError,
};
use crate::cli::{Cli, exit};

/// Prints the page of the program, or writes all pages into a folder.
pub(crate) fn run(dir: Option<&Path>) -> Result<u8, CommandError> {
    let mut root = Cli::command();
    root.build();
    let Some(dir) = dir else {
        let page = page(&root)?;
        print!("{}", String::from_utf8_lossy(&page));
        return Ok(exit::OK);
    };
    std::fs::create_dir_all(dir).map_err(|error| CommandError::file(dir, &error))?;
    write(dir, &root, "")
}

fn write(dir: &Path, command: &clap::Command, parent: &str) -> Result<u8, CommandError> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(exit::OK);
    }
    let name = match parent {
        "" => command.get_name().to_owned(),
        parent => format!("{parent}-{}", command.get_name()),
    };
    let named = command.clone().name(name.clone());
    disk::write(&dir.join(format!("{name}.1")), &page(&named)?, Readers::All)?;
    for child in command.get_subcommands() {
        write(dir, child, &name)?;
    }
    Ok(exit::OK)
}

fn page(command: &clap::Command) -> Result<Vec<u8>, CommandError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| CommandError::Check(error.to_string()))?;
    Ok(page)
}
