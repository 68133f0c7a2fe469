//! The hook's side: a process of its own, started by git.

use std::env;
use std::io::{self, BufRead as _, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::wire::{OUTPUT, Quarantine, Request, VERDICT, parse_update};
use super::{ENV_PUSH, ENV_SOCKET};

/// `paasd hook pre-receive`: everything the hook process does. Blocking, and without a runtime: it only relays.
pub fn main_pre_receive() -> ExitCode {
    match relay() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let text = format!(
                " !     The builder went away ({error}). Nothing was deployed; please push again.\n"
            );
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn relay() -> io::Result<bool> {
    let request = Request {
        push: required(ENV_PUSH)?,
        updates: updates()?,
        quarantine: quarantine(),
    };
    let mut stream = UnixStream::connect(required(ENV_SOCKET)?)?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut stderr = io::stderr();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            OUTPUT => stderr.write_all(&payload)?,
            VERDICT => return Ok(payload == [0]),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown frame")),
        }
    }
}

fn updates() -> io::Result<Vec<super::wire::RefUpdate>> {
    io::stdin()
        .lock()
        .lines()
        .map(|line| {
            let line = line?;
            parse_update(&line)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a ref update"))
        })
        .collect()
}

fn quarantine() -> Option<Quarantine> {
    // Git sets GIT_QUARANTINE_PATH only while the objects are in quarantine.
    env::var_os("GIT_QUARANTINE_PATH")?;
    Some(Quarantine {
        object_directory: env::var_os("GIT_OBJECT_DIRECTORY")?.into(),
        alternates: env::var("GIT_ALTERNATE_OBJECT_DIRECTORIES").ok(),
    })
}

fn required(name: &str) -> io::Result<String> {
    env::var(name)
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not set")))
}
