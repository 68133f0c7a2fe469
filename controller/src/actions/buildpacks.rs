//! Which buildpacks the next build uses.

use controller_api::wire::BuildpackInstallationsUpdate;
use model::{App, AppId, BuildpackRef};

use super::{ActionError, update_app};
use crate::context::Context;

const MAX_BUILDPACKS: usize = 30;
const MAX_LENGTH: usize = 2000;

pub(crate) async fn replace(
    context: &Context,
    app: AppId,
    update: &BuildpackInstallationsUpdate,
) -> Result<App, ActionError> {
    if update.updates.len() > MAX_BUILDPACKS {
        return Err(ActionError::invalid(format!(
            "An app may have at most {MAX_BUILDPACKS} buildpacks."
        )));
    }
    let buildpacks: Vec<_> = update
        .updates
        .iter()
        .map(|update| parse(&update.buildpack))
        .collect::<Result<_, _>>()?;
    update_app(context.store(), app, |app| {
        app.buildpacks.clone_from(&buildpacks);
        Ok(())
    })
    .await
}

/// Its shape only: what a name stands for, the builder knows.
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
    Ok(BuildpackRef(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
