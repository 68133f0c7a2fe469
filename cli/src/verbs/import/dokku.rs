//! Dokku as the source, by what its commands say: `config:export`, `ps:scale` and `report`, or the reports one by one.
//!
//! Dokku has no API but its commands over SSH; [`said`] reads what they say.

mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use controller_api::Secret;

use super::described::{Described, DomainThere, Item, ProcessThere, SizeThere, Tie};
use super::size;
use crate::args::ImportDokkuArgs;
use crate::failure::Failure;
use crate::git::shell_quoted;
use crate::output::printable;
use said::{Said, parse};

/// Config vars are 64 KB at most here; the reports are a few KB each.
const MAX_INPUT: u64 = 4 << 20;
const MAX_FILES: usize = 100;
const MIB: u64 = 1 << 20;

pub(super) fn read(args: &ImportDokkuArgs) -> Result<Described> {
    let (text, whence) = input(&args.from)?;
    let read = parse(&text)?;
    let name = match (read.apps.len(), &args.how.to) {
        (1, _) => read.apps.iter().next().cloned().unwrap_or_default(),
        (0, Some(to)) => to.clone(),
        (0, None) => {
            return Err(Failure::new("Nothing there says which app it is of")
                .advise("Add what `dokku report APP` says, or name the app here with --to.")
                .into());
        }
        _ => {
            let names: Vec<_> = read.apps.iter().take(10).cloned().collect();
            return Err(Failure::new(format!(
                "This tells of several apps: {}",
                printable(&names.join(", "))
            ))
            .advise("Ask Dokku about one: each of the commands takes the app's name.")
            .into());
        }
    };
    Ok(describe(read, name, whence))
}

/// All that there is to read, and what to call it.
fn input(from: &Path) -> Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut add = |source: &mut dyn std::io::Read| -> Result<()> {
        source.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MAX_INPUT {
            return Err(Failure::new(format!(
                "{} is more than Dokku says of an app: at most {} MB are read",
                from.display(),
                MAX_INPUT >> 20
            ))
            .into());
        }
        Ok(())
    };
    let whence = if from == Path::new("-") {
        add(&mut std::io::stdin().lock())?;
        "standard input".to_owned()
    } else if from.is_dir() {
        for file in files(from)? {
            add(&mut fs_err::File::open(file)?)?;
        }
        from.display().to_string()
    } else {
        add(&mut fs_err::File::open(from).context("could not read what Dokku said")?)?;
        from.display().to_string()
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(format!("{whence} is no text, so it is not from Dokku")))?;
    Ok((text, whence))
}

/// Those in the directory, by name.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    if files.len() > MAX_FILES {
        return Err(Failure::new(format!(
            "{} has more than {MAX_FILES} files",
            directory.display()
        ))
        .advise("Name the one with Dokku's answers, or put them in a directory of their own.")
        .into());
    }
    files.sort();
    Ok(files)
}

fn describe(said: Said, name: String, whence: String) -> Described {
    let mut left = without_counterpart(&said);
    let config = said.config.clone().unwrap_or_default();
    let ties = ties(&config);
    let services: BTreeSet<&str> = config.values().filter_map(|value| service(value)).collect();
    for service in services {
        let why = "it stays on the Dokku host, and its data does too";
        left.push(Item::new("service", service, why));
    }
    for (missing, what) in [
        (said.config.is_none(), "config:export --format json"),
        (said.scale.is_empty(), "ps:scale"),
        (said.facts.is_empty(), "report"),
    ] {
        if missing {
            let why = format!(
                "nothing is known of it: dokku {what} {}",
                shell_quoted(&name)
            );
            left.push(Item::new("answer", what, why));
        }
    }
    let mut domains = Vec::new();
    for hostname in said
        .fact("domains app vhosts")
        .unwrap_or_default()
        .split_whitespace()
    {
        if is_dokkus_own(&said, &name, hostname) {
            let why = "it is the name that Dokku gave; for it, too, to lead here: paas domains:add";
            left.push(Item::new("domain", hostname, why));
        } else {
            domains.push(DomainThere {
                hostname: hostname.to_owned(),
                target: None,
            });
        }
    }
    let buildpacks = said.fact("buildpacks list").unwrap_or_default();
    let formation = said
        .scale
        .iter()
        .map(|(process_type, quantity)| ProcessThere {
            process_type: process_type.clone(),
            quantity: *quantity,
            size: memory(&said, process_type),
        });
    Described {
        kind: "dokku",
        whence,
        ties,
        domains,
        formation: formation.collect(),
        buildpacks: buildpacks
            .split([',', ' '])
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect(),
        has_certificates: said.fact("ssl enabled") == Some("true"),
        config: config
            .into_iter()
            .map(|(name, value)| (name, Secret::new(value)))
            .collect(),
        name,
        left,
        ..Described::default()
    }
}

/// `shop.dokku.example.com` where Dokku's own domain is `dokku.example.com`.
fn is_dokkus_own(said: &Said, app: &str, hostname: &str) -> bool {
    let global = said.fact("domains global vhosts").unwrap_or_default();
    let label = hostname
        .strip_prefix(app)
        .and_then(|rest| rest.strip_prefix('.'));
    label.is_some_and(|domain| global.split_whitespace().any(|global| global == domain))
}

fn ties(config: &BTreeMap<String, String>) -> BTreeMap<String, Tie> {
    let mut ties = BTreeMap::new();
    for (name, value) in config {
        let tie = match name.as_str() {
            "PORT" => Tie::Platform("the platform chooses the port here".to_owned()),
            "GIT_REV" | "NO_VHOST" => Tie::Platform("Dokku sets it for itself".to_owned()),
            // Of a service's second link, DOKKU_POSTGRES_AQUA_URL.
            name if name.starts_with("DOKKU_") && service(value).is_none() => {
                Tie::Platform("Dokku sets it for itself".to_owned())
            }
            _ => match service(value) {
                Some(service) => Tie::Addon(format!("the service {service} on the Dokku host")),
                None => continue,
            },
        };
        ties.insert(name.clone(), tie);
    }
    ties
}

/// `dokku-postgres-shopdb` of `postgres://postgres:secret@dokku-postgres-shopdb:5432/shopdb`: a name that only containers on
/// the Dokku host know.
fn service(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.split(':').next()?;
    (host.starts_with("dokku-") && !host.contains('.')).then_some(host)
}

fn memory(said: &Said, process_type: &str) -> SizeThere {
    // The reports write both dashes and dots as blanks.
    let process_type = process_type.to_lowercase().replace(['-', '.'], " ");
    let limit = |of: &str| {
        ["resource ", ""]
            .iter()
            .find_map(|prefix| said.fact(&format!("{prefix}{of} limit memory")))
    };
    // Docker's own unit would be bytes; Dokku passes megabytes where none is said.
    let bytes = limit(&process_type)
        .or_else(|| limit("_default_"))
        .and_then(|limit| size::memory(limit, MIB));
    bytes.map_or(SizeThere::Any, SizeThere::Bytes)
}

fn without_counterpart(said: &Said) -> Vec<Item> {
    let mut left = Vec::new();
    let builder = said
        .fact("builder computed selected")
        .or_else(|| said.fact("builder selected"));
    let builder = builder.or_else(|| said.fact("builder detected"));
    if let Some(builder) = builder.filter(|builder| *builder != "herokuish") {
        let why = "here a buildpack builds the app from the code that you push";
        left.push(Item::new("builder", builder, why));
    }
    for key in ["storage run mounts", "storage deploy mounts"] {
        if let Some(mounts) = said.fact(key) {
            let why = "a dyno's files go with it: keep them in a database or an object store";
            left.push(Item::new("storage", mounts, why));
            break;
        }
    }
    if let Some(count) = said.fact("cron task count").filter(|count| *count != "0") {
        let why = "nothing here runs by the clock; have a process type of the app do it";
        left.push(Item::new("cron tasks", count, why));
    }
    if said.fact("ssl enabled") == Some("true") {
        let names = said.fact("ssl hostnames").unwrap_or("on");
        let why = "paas certs:auto:enable, or paas certs:add with the files of `dokku certs:show`";
        left.push(Item::new("certificate", names, why));
    }
    if let Some(branch) = said
        .fact("git deploy branch")
        .filter(|branch| !matches!(*branch, "main" | "master"))
    {
        // A name that begins with a dash would be an option of git's.
        let full = if branch.starts_with('-') {
            "refs/heads/"
        } else {
            ""
        };
        let refspec = format!("{full}{branch}:main");
        let why = format!(
            "here main is deployed: git push paas {}",
            shell_quoted(&refspec)
        );
        left.push(Item::new("branch", branch, why));
    }
    let options = options(said.fact("docker options deploy").unwrap_or_default());
    if !options.is_empty() {
        let why = "dynos are started the same way for all apps";
        left.push(Item::new("docker options", options.join(" "), why));
    }
    left
}

/// Their names, for their values may be secret; without those that Dokku gives every app, and the links to its services.
fn options(said: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut in_quotes = false;
    for word in said.split_whitespace() {
        let is_of_value = in_quotes || !word.starts_with('-');
        in_quotes ^= word.matches(['\'', '"']).count() % 2 == 1;
        if is_of_value {
            continue;
        }
        let name = match word.split_once('=') {
            Some((name, _)) => name,
            None => word,
        };
        // `-eNAME`: the value may follow at once.
        let short = name.char_indices().nth(2).map_or(name.len(), |(at, _)| at);
        let name = if name.starts_with("--") {
            name
        } else {
            &name[..short]
        };
        if !matches!(name, "--link" | "--restart") && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests;
