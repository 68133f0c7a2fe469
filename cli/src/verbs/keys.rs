//! keys, keys:add, keys:remove: SSH keys of the account, for git.

use std::path::{Path, PathBuf};

use anyhow::Result;
use controller_api::wire::Key;

use crate::args::{JsonArgs, KeyAddArgs, KeyRemoveArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Table};

/// What ssh itself tries first comes first.
const USUAL_FILES: [&str; 4] = [
    "id_ed25519.pub",
    "id_ecdsa.pub",
    "id_rsa.pub",
    "id_ed25519_sk.pub",
];

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let keys = client.keys().await?;
    if args.json {
        return Ok(output.json(&keys)?);
    }
    let Some(first) = keys.first() else {
        output.note("You have no SSH keys. Add one with `paas keys:add`.")?;
        return Ok(());
    };
    output.heading(format!(
        "{} keys",
        output.paint.in_colour(Colour::Cyan, &first.email)
    ))?;
    let mut table = Table::new();
    for key in &keys {
        table.row([
            shortened(&key.public_key),
            key.comment.clone(),
            key.fingerprint.clone(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// `ssh-ed25519 AAAAC3Nza...0mwBqkL3tQ`.
fn shortened(public_key: &str) -> String {
    let mut words = public_key.split_whitespace();
    let (kind, body) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    match (body.get(..10), body.get(body.len().saturating_sub(10)..)) {
        (Some(head), Some(tail)) => format!("{kind} {head}...{tail}"),
        _ => format!("{kind} {body}"),
    }
}

pub(crate) async fn add(context: &Context, args: &KeyAddArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let file = match &args.file {
        Some(file) => file.clone(),
        None => usual_key()?,
    };
    let text = fs_err::read_to_string(&file)?;
    let key = public_key(&file, &text)?;
    let action = output.action(format!("Uploading {} SSH key", file.display()));
    client.add_key(key).await?;
    action.done();
    Ok(())
}

fn usual_key() -> Result<PathBuf> {
    let ssh = std::env::home_dir()
        .ok_or_else(|| Failure::new("There is no home directory"))?
        .join(".ssh");
    let usual = USUAL_FILES
        .iter()
        .map(|name| ssh.join(name))
        .find(|file| file.is_file());
    usual.or_else(|| any_key(&ssh)).ok_or_else(|| {
        Failure::new(format!("There is no SSH key in {}", ssh.display()))
            .advise(
                "Make one with `ssh-keygen -t ed25519`, or name the file: paas keys:add FILE.pub",
            )
            .into()
    })
}

/// The only `id_*.pub`, whatever it is called.
fn any_key(ssh: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs_err::read_dir(ssh)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("id_") && name.ends_with(".pub")
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

/// A private key must never leave this machine, however it was named on the command line.
fn public_key<'a>(file: &Path, text: &'a str) -> Result<&'a str, Failure> {
    if text.contains("PRIVATE KEY") {
        return Err(Failure::usage(format!(
            "{} is a private key: it stays here",
            file.display()
        ))
        .advise(format!("Its public half is in {}.pub.", file.display())));
    }
    let key = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    key.filter(|line| line.split_whitespace().count() >= 2)
        .ok_or_else(|| {
            Failure::usage(format!("{} is no SSH public key", file.display()))
                .advise("It should be a line such as `ssh-ed25519 AAAA… you@host`.")
        })
}

pub(crate) async fn remove(context: &Context, args: &KeyRemoveArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let keys = client.keys().await?;
    let named: Vec<&Key> = keys
        .iter()
        .filter(|key| {
            let id = key.id.to_string();
            [
                key.comment.as_str(),
                key.fingerprint.as_str(),
                id.as_str(),
                key.public_key.as_str(),
            ]
            .contains(&args.key.as_str())
        })
        .collect();
    let key = match named.as_slice() {
        [key] => key,
        [] => {
            return Err(Failure::new(format!("You have no SSH key {}", args.key))
                .advise("See yours with `paas keys`.")
                .into());
        }
        _ => {
            return Err(
                Failure::new(format!("Several of your SSH keys are called {}", args.key))
                    .advise("Name the one by its fingerprint; see `paas keys`.")
                    .into(),
            );
        }
    };
    let action = output.action(format!("Removing {} SSH key", args.key));
    client.remove_key(&key.id.to_string()).await?;
    action.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_never_sent() {
        let file = Path::new("id_ed25519");
        assert!(public_key(file, "-----BEGIN OPENSSH PRIVATE KEY-----\nxyz\n").is_err());
        assert!(public_key(file, "").is_err());
        assert_eq!(
            public_key(file, "# mine\nssh-ed25519 AAAA me\n").unwrap(),
            "ssh-ed25519 AAAA me"
        );
    }

    #[test]
    fn keys_are_shown_short() {
        assert_eq!(
            shortened("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABZZZZZZZZZZ me"),
            "ssh-rsa AAAAB3NzaC...ZZZZZZZZZZ"
        );
        assert_eq!(shortened("odd"), "odd ");
    }
}
