//! Flags of the settings, made from the one table of settings.

use crate::config::settings::{SETTINGS, Setting};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use std::collections::BTreeMap;

/// Settings that matter to every command; the others belong to `run` and `config`.
const COMMON: [&str; 2] = ["data_dir", "network"];

/// Flags of the common settings, by key.
#[derive(Clone, Debug, Default)]
pub struct CommonFlags(pub BTreeMap<&'static str, String>);

/// Flags of the node's settings, by key.
#[derive(Clone, Debug, Default)]
pub struct NodeFlags(pub BTreeMap<&'static str, String>);

fn settings(common: bool) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |s| COMMON.contains(&s.key) == common)
}

fn augment(command: Command, common: bool) -> Command {
    settings(common).fold(command, |command, setting| {
        let names: Vec<&str> = setting.env.iter().map(|(name, _)| *name).collect();
        let help = format!("{} [env: {}] [default: {}]", setting.about, names.join(", "), setting.default);
        let flag = Arg::new(setting.key).long(setting.flag).value_name("VALUE").global(common).help(help);
        command.arg(flag.help_heading("Settings"))
    })
}

fn given(matches: &ArgMatches, common: bool) -> BTreeMap<&'static str, String> {
    settings(common).filter_map(|s| Some((s.key, matches.get_one::<String>(s.key)?.clone()))).collect()
}

macro_rules! args_of {
    ($name:ident, $common:literal) => {
        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                augment(command, $common)
            }
            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $common)
            }
        }
        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(given(matches, $common)))
            }
            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = given(matches, $common);
                Ok(())
            }
        }
    };
}

args_of!(CommonFlags, true);
args_of!(NodeFlags, false);
