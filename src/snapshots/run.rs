//! Running another program: `zfs`, `zpool`, `btrfs`.
//!
//! *Always holds:* its arguments are a list, no shell reads them; one that does not end in time is killed, and left to
//! itself if the kernel does not let it die; what it says is cut before it is shown.

use super::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// How long a program may take: a snapshot takes less than a second, a busy pool a few.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are taken: some thousand snapshots.
const MAX_OUTPUT: u64 = 32 << 20;
/// Characters of a complaint that are shown: `zfs` prints its whole manual after some.
const MAX_SAID: usize = 200;
/// Where such programs lie beside the path of a user.
const BESIDE: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Runs a program to its end; gives what it printed.
pub fn run(program: &'static str, arguments: &[&str]) -> Result<String, Error> {
    run_within(PATIENCE, program, arguments)
}

fn run_within(patience: Duration, program: &'static str, arguments: &[&str]) -> Result<String, Error> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", format!("{path}:{BESIDE}")).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = || format!("{program} {}", arguments.join(" "));
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::Unusable(format!("the program {program} is not installed")),
        _ => Error::Command { command: shown(), said: error.to_string() },
    })?;
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let Some(status) = wait(child, patience).map_err(|said| Error::Command { command: shown(), said })? else {
        return Err(Error::Command { command: shown(), said: format!("no end within {} s", patience.as_secs()) });
    };
    // The pipes end with the program, unless it left a child behind.
    let (out, err) = (out.recv_timeout(patience), err.recv_timeout(patience));
    if status.success() {
        return Ok(out.unwrap_or_default());
    }
    let err = err.unwrap_or_default();
    let lines = err.lines().map(str::trim).filter(|line| !line.is_empty()).take(2);
    let said: String = lines.collect::<Vec<_>>().join("; ").chars().take(MAX_SAID).collect();
    Err(Error::Command { command: shown(), said: if said.is_empty() { status.to_string() } else { said } })
}

/// Reads a pipe beside the program, which would wait for a full one for ever.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (to, from) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        let _ = to.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    from
}

/// Waits for the end of a program; none when it had to be killed.
fn wait(mut child: Child, patience: Duration) -> Result<Option<ExitStatus>, String> {
    let text = |error: std::io::Error| error.to_string();
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).and_then(|pid| {
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        retry_on_intr(|| poll(&mut [PollFd::new(&pid, PollFlags::IN)], Some(&timeout)))
    });
    match ended {
        Ok(0) => {
            child.kill().map_err(text)?;
            // A program that sleeps in the kernel does not hear it: somebody else waits for that one.
            std::thread::spawn(move || child.wait());
            Ok(None)
        }
        _ => child.wait().map(Some).map_err(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_not_read_by_a_shell_and_nothing_runs_for_ever() {
        assert_eq!(run("printf", &["%s|", "a b", "$(id)", ";ls"]).unwrap(), "a b|$(id)|;ls|");
        let Err(Error::Command { said, .. }) = run("ls", &["/nothing-here"]) else { panic!("it must fail") };
        assert!(said.contains("No such file"), "{said}");
        assert!(matches!(run("no-such-program", &[]), Err(Error::Unusable(_))));
        let late = run_within(Duration::from_millis(50), "sleep", &["1000"]);
        assert!(matches!(&late, Err(Error::Command { said, .. }) if said.contains("no end")), "{late:?}");
        assert_eq!(run("head", &["-c", "1000000", "/dev/zero"]).unwrap().len(), 1_000_000);
    }
}
