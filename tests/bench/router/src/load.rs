//! The load: h2load where connections are kept, wrk where each request has its own.

use anyhow::{Context as _, bail, ensure};

use crate::case::{Case, Speaks};
use crate::peers::Peer;
use crate::process::{OTHER_CORE, pinned};

/// How wrk's script ends it; without, it would end by time.
const ALL_ANSWERED: i32 = 7;

/// Asks for `requests`; any that is not answered 200 is an error.
pub(crate) fn run(case: &Case, peer: Peer, requests: u64) -> anyhow::Result<()> {
    match case.speaks {
        Speaks::Http1 => h2load(case, peer.http(), requests, &["--h1"]),
        Speaks::Http1Tls => h2load(case, peer.https(), requests, &["--h1"]),
        Speaks::Http2Tls(streams) => {
            h2load(case, peer.https(), requests, &["-m", &streams.to_string()])
        }
        Speaks::NewConnection => wrk(case, &format!("http://127.0.0.1:{}", peer.http()), requests),
        Speaks::NewConnectionTls => wrk(
            case,
            &format!("https://127.0.0.1:{}", peer.https()),
            requests,
        ),
    }
}

fn h2load(case: &Case, port: u16, requests: u64, options: &[&str]) -> anyhow::Result<()> {
    let scheme = match case.speaks {
        Speaks::Http1 => "http",
        _ => "https",
    };
    let mut command = pinned(OTHER_CORE, "h2load");
    command
        .args(options)
        .args(["-n", &requests.to_string()])
        .args(["-c", &case.connections.to_string()])
        .arg(format!("--connect-to=127.0.0.1:{port}"))
        .arg(format!("{scheme}://{}{}", case.host(), case.path));
    let output = command
        .output()
        .context("h2load (package nghttp2-client)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains(&format!(
            "status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx"
        )),
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn wrk(case: &Case, to: &str, requests: u64) -> anyhow::Result<()> {
    // wrk counts time, not requests: this script ends it.
    let script = format!(
        "local left = {requests}\n\
         function response(status)\n\
           if status ~= 200 then io.stderr:write('status ' .. status .. '\\n'); os.exit(1) end\n\
           left = left - 1\n\
           if left == 0 then os.exit({ALL_ANSWERED}) end\n\
         end\n"
    );
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("count.lua");
    fs_err::write(&file, script)?;
    let mut command = pinned(OTHER_CORE, "wrk");
    command
        .args(["-t", "1", "-d", "120s", "-c", &case.connections.to_string()])
        .args(["-H", &format!("Host: {}", case.host())])
        .args(["-H", "Connection: close", "-s"])
        .arg(&file)
        .arg(format!("{to}{}", case.path));
    let output = command.output().context("wrk (package wrk)")?;
    if output.status.code() != Some(ALL_ANSWERED) {
        bail!(
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
