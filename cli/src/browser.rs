//! A browser on the machine of whoever sits at the terminal, if there is one.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::context::Context;

/// What opens addresses in a browser. `BROWSER` is taken first, as elsewhere.
pub(crate) fn program() -> Option<String> {
    let wanted = std::env::var("BROWSER")
        .ok()
        .filter(|browser| !browser.is_empty());
    let usual = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
    wanted.or_else(|| has_screen.then(|| usual.to_owned()))
}

/// Starts to open an address, and lets it stay open as long as it likes.
///
/// In a process group of its own: Ctrl-C here, or the end of this terminal, is not the end of a browser that was
/// started for it, with all that is open in it.
pub(crate) fn start(program: &str, url: &str) -> io::Result<()> {
    opening(program, url).process_group(0).spawn().map(drop)
}

fn opening(program: &str, url: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Opens an address in the browser; where there is none, prints it.
pub(crate) fn visit(context: &Context, url: &str) -> Result<()> {
    let status = program().map(|program| opening(&program, url).status());
    if status.is_some_and(|status| status.is_ok_and(|status| status.success())) {
        return Ok(context.output.note(format!("Opening {url}"))?);
    }
    Ok(context.output.line(url)?)
}
