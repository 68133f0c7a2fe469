//! Which buildpacks the next build uses.

use controller_api::wire::BuildpackInstallationsUpdate;
use model::{App, AppId, BuildpackRef};

use super::{ActionError, update_app};
use crate::context::Context;

const MAX_BUILDPACKS: usize = 30;
const MAX_LENGTH: usize = 2000;
/// What ships with the platform, by the names users know; a test holds this against `buildpacks/packs`.
pub(crate) const SHIPPED: [&str; 7] = [
    "ruby", "nodejs", "python", "go", "rust", "static", "procfile",
];

pub(crate) async fn replace(
    context: &Context,
    app: AppId,
    update: &BuildpackInstallationsUpdate,
) -> Result<App, ActionError> {
    let buildpacks = parse_all(update.updates.iter().map(|update| &*update.buildpack))?;
    update_app(context.store(), app, |app| {
        app.buildpacks.clone_from(&buildpacks);
        Ok(())
    })
    .await
}

/// In order.
pub(crate) fn parse_all<'a>(
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<BuildpackRef>, ActionError> {
    let buildpacks: Vec<_> = texts.map(parse).collect::<Result<_, _>>()?;
    if buildpacks.len() > MAX_BUILDPACKS {
        return Err(ActionError::invalid(format!(
            "An app may have at most {MAX_BUILDPACKS} buildpacks."
        )));
    }
    Ok(buildpacks)
}

/// A name of ours, or the shape of a URL: what is there, the builder sees.
fn parse(text: &str) -> Result<BuildpackRef, ActionError> {
    let text = text.strip_prefix("urn:buildpack:").unwrap_or(text).trim();
    let ok = !text.is_empty()
        && text.len() <= MAX_LENGTH
        && !text.starts_with('-')
        // Git's other transports (ext::, fd::) run commands.
        && !text.contains("::")
        && text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !ok || scheme.is_some_and(|scheme| !["https", "http", "git"].contains(&scheme)) {
        return Err(ActionError::invalid(
            "A buildpack must be a name such as heroku/python, or a URL such as https://example.com/pack.git#main.",
        ));
    }
    let is_name = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c));
    if is_name && !SHIPPED.contains(&text.strip_prefix("heroku/").unwrap_or(text)) {
        return Err(ActionError::invalid(format!(
            "There is no buildpack {text} here. There are heroku/{}; others are used by their git URL.",
            SHIPPED.join(", heroku/")
        )));
    }
    Ok(BuildpackRef(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_packs_that_ship() {
        let packs = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildpacks/packs");
        let mut there: Vec<String> = fs_err::read_dir(packs)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("bin/detect").exists())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        let mut known = SHIPPED;
        there.sort();
        known.sort_unstable();
        assert_eq!(there, known);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for name in ["bogus/pack", "heroku/java", "java"] {
            let message = parse(name).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
            assert!(
                message.contains("heroku/ruby, heroku/nodejs, heroku/python"),
                "{message}"
            );
        }
        assert_eq!(parse("python").unwrap().0, "python");
    }

    #[test]
    fn buildpacks_are_names_or_urls() {
        assert_eq!(
            parse("urn:buildpack:heroku/python").unwrap().0,
            "heroku/python"
        );
        assert_eq!(
            parse("https://x.example/p.git#v1").unwrap().0,
            "https://x.example/p.git#v1"
        );
        for bad in [
            "",
            " ",
            "a b",
            "--upload-pack=x",
            "file:///etc/passwd",
            "ssh://x/y",
            "ext::sh",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
