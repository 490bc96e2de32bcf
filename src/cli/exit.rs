//! How a command ends: what it says and the code it leaves to a script.

use super::print;
use std::process::ExitCode;

/// The exit codes (`docs/operations.md`). Stable: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It failed in a way that no other code names.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was done.
    Usage = 2,
    /// No node answers where one was looked for.
    NotReachable = 3,
    /// The node, or the data folder, has nothing of that name.
    NotFound = 4,
    /// The node refused.
    Refused = 5,
    /// `verify` or `journal` found damage.
    Damaged = 6,
    /// The data folder is in use by another process.
    InUse = 7,
}

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What to leave to the shell.
    pub code: Code,
    /// What to tell the person.
    pub message: String,
    /// The node's own code, when it gave one (`not_found`, `ambiguous`, ...).
    pub reason: Option<String>,
}

/// How a command ends.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure with a message.
    pub fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string(), reason: None }
    }

    /// Tells the person, as JSON when that was asked for, and makes the code.
    pub fn report(&self, json: bool) -> ExitCode {
        if json {
            let reason = self.reason.as_deref().unwrap_or(self.code.word());
            print::beside(&serde_json::json!({ "error": self.message, "code": reason }).to_string());
        } else {
            print::beside(&format!("honeygraph: {}", self.message));
        }
        ExitCode::from(self.code as u8)
    }
}

impl Code {
    /// All of them, in order.
    pub const ALL: [Code; 7] =
        [Code::Failed, Code::Usage, Code::NotReachable, Code::NotFound, Code::Refused, Code::Damaged, Code::InUse];

    /// The word for it that `--json` shows, unless a node said its own.
    pub fn word(self) -> &'static str {
        match self {
            Code::Failed => "failed",
            Code::Usage => "usage",
            Code::NotReachable => "not_reachable",
            Code::NotFound => "not_found",
            Code::Refused => "refused",
            Code::Damaged => "damaged",
            Code::InUse => "in_use",
        }
    }
}

impl From<crate::data_dir::DataDirError> for Failure {
    fn from(error: crate::data_dir::DataDirError) -> Self {
        use crate::data_dir::DataDirError::{InUse, Io, Missing};
        let code = match error {
            InUse(_) => Code::InUse,
            Missing(_) => Code::NotFound,
            Io { .. } => Code::Failed,
        };
        Self::new(code, error)
    }
}
